"""What may have become of a body on its way, undone: bodies that may have been signed. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

from gateway.webhooks.findings import Finding, Place

_BOM = b"\xef\xbb\xbf"
_TAKE_BYTES = "take the bytes as they came, before anything parses or decodes them"
_SPACINGS = ("compact", "spaced", "indented by 2", "indented by 4")
_EVENT = ("type", "timestamp", "data")
_DATA = (
    *("flow_run_id", "deployment_id", "deployment_version", "flow_id", "execution_mode", "status"),
    *("output_data", "node_outputs", "output_truncated", "error", "duration_seconds"),
    *("created_at", "started_at", "finished_at", "sequence", "result_url"),
)
"""The order in which events.py writes members."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewriting:
    """A body that may have been signed, and what then happened to it."""

    body: bytes
    findings: tuple[Finding, ...]


def rewritings(body: bytes) -> Iterator[Rewriting]:
    """Yield what a body may have been, the likeliest first; no two have the same bytes."""
    seen = {body}
    for rewriting in (*_of_bytes(body), *_of_json(body)):
        if rewriting.body not in seen:
            seen.add(rewriting.body)
            yield rewriting


def _of_bytes(body: bytes) -> Iterator[Rewriting]:
    yield _one("body_line_end_added", "without the line end at its end", body.rstrip(b"\r\n"))
    yield _one("body_line_end_lost", "with a line end at its end", body + b"\n")
    yield _one("body_white_space", "without the white space around it", body.strip())
    yield _one("body_crlf", "with line ends LF, not CRLF", body.replace(b"\r\n", b"\n"))
    yield _one("body_lf", "with line ends CRLF, not LF", body.replace(b"\n", b"\r\n"))
    yield _one("body_bom", "without the byte order mark before it", body.removeprefix(_BOM))
    for encoding, before in (("latin-1", "utf-8"), ("cp1252", "utf-8"), ("utf-8", "latin-1")):
        try:
            undone = body.decode(before).encode(encoding)
        except ValueError:
            continue
        yield _one("body_encoding", f"decoded as {before} and encoded as {encoding}", undone)


@dataclass(frozen=True, slots=True)
class _Style:
    """How JSON is written."""

    spacing: str
    escaped: bool
    """Characters beyond ASCII as \\u…."""
    slashes: bool
    """A / as \\/, as PHP writes it."""
    order: str
    """Of members: as given, sorted, or ours."""

    # Any, here and below: what JSON can be
    def write(self, document: Any) -> bytes:
        separators = {"compact": (",", ":"), "spaced": (", ", ": ")}.get(self.spacing)
        text = json.dumps(
            _in_our_order(document) if self.order == "ours" else document,
            ensure_ascii=self.escaped,
            sort_keys=self.order == "sorted",
            separators=separators,
            indent=None if separators else int(self.spacing[-1]),
        )
        return (text.replace("/", "\\/") if self.slashes else text).encode()


def _of_json(body: bytes) -> Iterator[Rewriting]:
    """Yield the body's JSON in other styles, those with the fewest differences first."""
    try:
        document = json.loads(body)
        written = {style: style.write(document) for style in _styles()}
    except (ValueError, RecursionError):
        return
    given = next((style for style, text in written.items() if text == body), None) or _seen(body)
    found = [
        Rewriting(body=text, findings=tuple(_differences(given, style)))
        for style, text in written.items()
    ]
    yield from sorted(found, key=lambda each: len(each.findings))


def _styles() -> Iterator[_Style]:
    for order, slashes, escaped, spacing in product(
        ("as given", "ours", "sorted"), (False, True), (False, True), _SPACINGS
    ):
        yield _Style(spacing, escaped, slashes, order)


def _seen(body: bytes) -> _Style:
    """Return what can be seen of a style that is none of ours."""
    return _Style("other", b"\\u" in body, b"\\/" in body, "as given")


def _differences(given: _Style, style: _Style) -> Iterator[Finding]:
    if style.spacing != given.spacing:
        yield _finding("body_spacing", f"with its JSON {style.spacing}")
    if style.escaped != given.escaped:
        how = "as \\u…" if style.escaped else "as they are, not as \\u…"
        yield _finding("body_escapes", f"with characters beyond ASCII {how}")
    if style.slashes != given.slashes:
        how = r"as \/" if style.slashes else r"as it is, not \/"
        yield _finding("body_slashes", f"with / {how}")
    if style.order != "as given":
        how = "sorted" if style.order == "sorted" else "in the order of our events, not sorted anew"
        yield _finding("body_key_order", f"with its keys {how}")


def _in_our_order(document: Any) -> Any:
    """Return an event with its members as events.py writes them; other documents as they are."""
    if not isinstance(document, dict) or not isinstance(document.get("data"), dict):
        return document
    return {**_ordered(document, _EVENT), "data": _ordered(document["data"], _DATA)}


def _ordered(members: dict[str, Any], order: tuple[str, ...]) -> dict[str, Any]:
    first = {name: members[name] for name in order if name in members}
    return {**first, **members}


def _one(code: str, how: str, body: bytes) -> Rewriting:
    return Rewriting(body=body, findings=(_finding(code, how),))


def _finding(code: str, how: str) -> Finding:
    message = f"the signature fits the body {how}: it was changed on its way; {_TAKE_BYTES}"
    return Finding(code=code, place=Place.BODY, message=message)
