"""How much of a disk is free, and whether an error says that nothing is."""

from __future__ import annotations

import errno
import shutil
import sqlite3
from pathlib import Path

_RESERVE_BYTES = 1 << 30
_RESERVE_PARTS = 20
"""A twentieth of the disk stays free, or 1 GiB if that is less: other data lives there, and what
was accepted has to be finished and deleted."""
_FULL_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT})
_FULL_SQLITE_CODES = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE})
_FULL_SQLSTATE = "53100"


def room_on_disk(folder: Path) -> int:
    """Return the bytes of the folder's disk that may be used: what is free, without the reserve.

    Negative: part of the reserve is in use.
    """
    disk = shutil.disk_usage(folder)
    return disk.free - _reserve(disk.total)


def room_beside_runs(folder: Path) -> int:
    """Return what `room_on_disk` does, less another reserve: what runs can use even then."""
    disk = shutil.disk_usage(folder)
    return disk.free - 2 * _reserve(disk.total)


def _reserve(total: int) -> int:
    return min(_RESERVE_BYTES, total // _RESERVE_PARTS)


def is_disk_full(error: BaseException) -> bool:
    """Whether `error`, of SQLite, PostgreSQL or the operating system, is due to a full disk."""
    original = getattr(error, "orig", None) or error
    if isinstance(original, OSError):
        return original.errno in _FULL_ERRNOS
    if isinstance(original, sqlite3.Error):
        return getattr(original, "sqlite_errorcode", None) in _FULL_SQLITE_CODES
    return getattr(original, "sqlstate", None) == _FULL_SQLSTATE
