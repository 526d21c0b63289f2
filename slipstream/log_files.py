"""The log of an installation on this host: the file to which its processes append, and older ones.

`slipstream.log` is the newest, and `slipstream.log.1` to `.4` are what it was before.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

OLDER_FILES = 4


def log_file(state: Path) -> Path:
    """Return the file to which the processes of a state folder append."""
    return state / "logs" / "slipstream.log"


def all_files(newest: Path) -> list[Path]:
    """Return the paths of the newest file and of those before it, whether they exist or not."""
    older = (newest.with_name(f"{newest.name}.{number}") for number in range(1, OLDER_FILES + 1))
    return [newest, *older]


def rotate(newest: Path, max_bytes: int) -> None:
    """Move the files on, and delete the oldest, if the newest has its share of `max_bytes`.

    Processes that append notice it with their next line, and begin a new file.

    Raises:
        OSError: a file cannot be moved.
    """
    files = all_files(newest)
    try:
        if newest.stat().st_size < max_bytes // len(files):
            return
    except FileNotFoundError:
        return
    with suppress(FileNotFoundError):
        os.truncate(files[-1], 0)  # a process that has not logged since has it open
    for file, before in reversed(list(zip(files[1:], files, strict=False))):
        with suppress(FileNotFoundError):
            before.replace(file)
