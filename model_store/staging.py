"""The place inside a store where versions are put together, and taken apart, out of sight."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from filelock import FileLock


class StagingArea:
    """Folders that exist only while somebody works on them.

    A folder is locked (flock) while its owner lives: what is found without a lock was left behind
    by a process that died, and is deleted when the next folder is made.
    """

    def __init__(self, root: Path, lock: FileLock) -> None:
        """Use the folder `root`; `lock` keeps a sweep from a folder that is not locked yet."""
        self._root = root
        self._lock = lock

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """Yield a new empty folder. What is still in it at the end is deleted."""
        path = self._root / uuid4().hex
        with self._lock:
            self._sweep()
            path.mkdir(parents=True)
            handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(handle, fcntl.LOCK_EX)
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)
            os.close(handle)

    def _sweep(self) -> None:
        self._root.mkdir(parents=True, exist_ok=True)
        for path in self._root.iterdir():
            if not _in_use(path):
                shutil.rmtree(path, ignore_errors=True)


def _in_use(path: Path) -> bool:
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(handle)
