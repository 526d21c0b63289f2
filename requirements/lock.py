"""Resolve the dependencies into the locks of this folder (`make lock`).

Existing pins stay unless `--upgrade` or `--upgrade-package NAME` is given: arguments go to uv.

Every file is pinned by hash, for every platform and Python from 3.11 on, and names no index: the
installation's own settings say where packages come from.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
COMMAND = (
    *(
        str(Path(sys.executable).with_name("uv")),
        "pip",
        "compile",
        "pyproject.toml",
        "--universal",
        "--python-version",
        "3.11",
    ),
    *("--generate-hashes", "--no-emit-index-url", "--no-emit-find-links", "--no-annotate"),
    *("--no-header", "--quiet"),
)
LOCKS: dict[str, tuple[str, ...]] = {
    # The project itself is built without isolation, by what the lock has.
    "dev.lock": ("--group", "build", "--group", "dev", "--extra", "traces"),
    "run.lock": ("--group", "build", "--constraint", "requirements/dev.lock"),
    "bench.lock": ("--group", "bench", "--constraint", "requirements/dev.lock"),
    "console.lock": ("--group", "console", "--constraint", "requirements/dev.lock"),
    "examples.lock": ("--group", "examples", "--constraint", "requirements/dev.lock"),
}


def main() -> None:
    for name, options in LOCKS.items():
        command = [*COMMAND, *options, *sys.argv[1:], "--output-file", str(HERE / name)]
        subprocess.run(command, check=True, cwd=ROOT)
        sys.stdout.write(f"requirements/{name}\n")


if __name__ == "__main__":
    main()
