"""Writes the table of docs/errors.md from `protos/errors.py`.

With `--check` it writes nothing, and exits with 1 if the page is out of date.
"""

from __future__ import annotations

import sys
from pathlib import Path

from protos.errors import ErrorCode

PAGE = Path(__file__).resolve().parent.parent / "docs" / "errors.md"
BEGIN = "<!-- Generated from protos/errors.py by `make errors-doc`: do not edit. -->\n"
END = "<!-- End of the generated table. -->\n"
HEAD = """| Code | HTTP | `/v2` | gRPC | Retry? | What it means | What to do next |
|---|---|---|---|---|---|---|
"""


def row(code: ErrorCode) -> str:
    """Return the code's row of the table."""
    retry = "yes" if code.retryable else "no"
    spec = code.spec
    statuses = f"{code.http_status} | {code.v2_status} | `{code.grpc_status}`"
    return f"| `{code}` | {statuses} | {retry} | {spec.meaning} | {spec.advice} |\n"


def updated(page: str) -> str:
    """Return the page with the present table."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{PAGE}: expected the lines {BEGIN!r} and {END!r}")
    return before + BEGIN + HEAD + "".join(map(row, ErrorCode)) + END + after


def main() -> None:
    """Write the page, or check it."""
    page = PAGE.read_text()
    new = updated(page)
    if new == page:
        return
    if "--check" in sys.argv:
        raise SystemExit("docs/errors.md is out of date: run `make errors-doc`")
    PAGE.write_text(new)


if __name__ == "__main__":
    main()
