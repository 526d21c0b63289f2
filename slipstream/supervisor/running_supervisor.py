"""The supervisor that runs on a state folder: what it writes there, and who reads it.

The record is the content of the lock file, which counts only while the lock is held: the kernel
releases it however the supervisor ends. Standard library only: `up` writes it before it listens.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from slipstream.failures import UnusableError

_MAX_RECORD_BYTES = 1024 * 1024
_WRITE_SECONDS = 2.0
"""How long a supervisor may hold the lock without a record, as it starts and ends."""
_POLL_SECONDS = 0.01
_PASSWORD = re.compile(r"(://[^:/@]*):.*@")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningSupervisor:
    """The supervisor that runs on a state folder, where it listens, and its settings."""

    pid: int
    host: str
    port: int
    grpc_port: int
    workers: int
    """Gateway processes."""
    schema: str
    """Revision of the newest migration that its code has."""
    tls_certificate: str | None = None
    """The certificate's file, if it uses TLS."""
    tls_key: str | None = None
    """The file with its private key; None also from an older version."""
    settings: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Its environment variables that commands need, without the pepper. URLs contain passwords."""
    pepper_in_environment: bool = False
    """Whether the pepper is in its environment, and not in a file."""


def lock_file(state: Path) -> Path:
    """Return the file that a supervisor locks."""
    return state / "run" / "supervisor.lock"


def write_record(lock: int, record: RunningSupervisor) -> None:
    """Write the record into the locked file."""
    os.ftruncate(lock, 0)
    os.pwrite(lock, json.dumps(asdict(record)).encode(), 0)


def remember_database(state: Path, record: RunningSupervisor) -> None:
    """Write what `last_database` returns, into the state folder."""
    database = _database_url(record)
    if database:
        _last_database_file(state).write_text(_PASSWORD.sub(r"\1:***@", database))
    else:
        _last_database_file(state).unlink(missing_ok=True)


def _database_url(record: RunningSupervisor) -> str | None:
    """Return the URL that the supervisor was given; what uses the URL reports an unusable file."""
    url = record.settings.get("SLIPSTREAM_DATABASE_URL")
    file = record.settings.get("SLIPSTREAM_DATABASE_URL_FILE")
    if file and not url:
        with suppress(OSError, UnicodeDecodeError):
            return Path(file).read_text().strip()
    return url


def last_database(state: Path) -> str | None:
    """Return the URL, without password, that the last `up` was given; None: it used SQLite here."""
    try:
        return _last_database_file(state).read_text().strip() or None
    except OSError:
        return None


def copy_last_database(state: Path, copy: Path) -> None:
    """Copy what `last_database` returns into the copy of a state folder."""
    with suppress(FileNotFoundError):
        shutil.copy2(_last_database_file(state), _last_database_file(copy))


def running_supervisor(state: Path) -> RunningSupervisor | None:
    """Return the supervisor that runs on the folder, or None.

    Raises:
        UnusableError: another user's supervisor may run there, or one of another version does.
    """
    deadline = time.monotonic() + _WRITE_SECONDS
    while True:
        try:
            lock = os.open(lock_file(state), os.O_RDONLY)
        except PermissionError:
            message = f"the state folder {state} belongs to {_owner(state)}"
            raise UnusableError(f"{message}: run the command as that user, or as root") from None
        except OSError:
            return None
        try:
            if try_lock(lock, fcntl.LOCK_SH):
                return None
            content = os.read(lock, _MAX_RECORD_BYTES)
        finally:
            os.close(lock)
        try:
            return RunningSupervisor(**json.loads(content))
        except (ValueError, TypeError):
            if time.monotonic() > deadline:
                message = (
                    f"a `slipstream up` that runs on {state} is of another version: restart it, "
                    "or use the command of its version"
                )
                raise UnusableError(message) from None
        time.sleep(_POLL_SECONDS)


def try_lock(lock: int, kind: int) -> bool:
    """Lock the file, shared or exclusively, unless that would have to wait."""
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _owner(state: Path) -> str:
    try:
        return f"the user {state.owner()}"
    except (OSError, KeyError):
        return "another user"


def _last_database_file(state: Path) -> Path:
    return state / "last_database"
