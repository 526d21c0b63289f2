"""The state folder, locked by one running supervisor at a time."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from slipstream.failures import UnusableError
from slipstream.supervisor.running_supervisor import (
    RunningSupervisor,
    lock_file,
    running_supervisor,
    try_lock,
    write_record,
)

_MAX_SOCKET_FOLDER_BYTES = 80
"""A Unix socket's path can have 103 bytes on every system; the names in the folder need 20."""

_SECRET_FILES = ("slipstream.db*", "pepper", "inference-token")
_OTHERS_MASK = 0o077


class StateFolder:
    """A locked state folder. The kernel releases the lock however the process ends.

    Attributes:
        path: the folder, absolute.
        sockets: an empty private folder with a path short enough for Unix sockets.
    """

    def __init__(self, path: Path, lock: int, sockets: Path) -> None:
        """Use `claim` or `adopt`."""
        self.path = path
        self.lock_fd = lock
        self.sockets = sockets

    @classmethod
    def claim(cls, path: Path, record: RunningSupervisor) -> StateFolder:
        """Create the folder if it does not exist, lock it, and write the record into it.

        Raises:
            UnusableError: it cannot be written, or another supervisor uses it.
        """
        path = path.absolute()
        with _write_errors(path):
            ensure_state_folder(path)
            _restrict_permissions(path)
            (path / "run").mkdir(mode=0o700, exist_ok=True)
            lock = os.open(lock_file(path), os.O_RDWR | os.O_CREAT, 0o600)
        while not try_lock(lock, fcntl.LOCK_EX):
            found = running_supervisor(path)
            if found is None:
                continue  # a command has looked at the lock, or the other has just ended
            os.close(lock)
            message = (
                f"the state folder {path} is in use by another `slipstream up` (process "
                f"{found.pid}, port {found.port})"
            )
            raise UnusableError(f"{message}: stop that, or choose another with --state")
        with _write_errors(path):
            write_record(lock, record)
        return cls(path, lock, _socket_folder(path / "run" / "sockets"))

    @classmethod
    def adopt(
        cls, path: Path, record: RunningSupervisor, *, lock: int, sockets: Path
    ) -> StateFolder:
        """Take over a folder that is locked already, with its sockets, and write the record."""
        path = path.absolute()
        with _write_errors(path):
            write_record(lock, record)
        return cls(path, lock, sockets)

    def release(self) -> None:
        """Release the lock and remove the folder of sockets."""
        shutil.rmtree(self.sockets, ignore_errors=True)
        os.ftruncate(self.lock_fd, 0)
        os.close(self.lock_fd)


def ensure_state_folder(path: Path) -> None:
    """Create the folder if it does not exist, for its owner only: it contains secrets.

    Raises:
        UnusableError: it cannot be created.
    """
    with _write_errors(path):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)


def _restrict_permissions(path: Path) -> None:
    """Remove the permissions of others on secret files that an older version created.

    The folder itself may be shared on purpose.
    """
    for pattern in _SECRET_FILES:
        for file in path.glob(pattern):
            mode = file.stat().st_mode
            if mode & _OTHERS_MASK:
                file.chmod(mode & ~_OTHERS_MASK)


@contextmanager
def _write_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        message = f"the state folder {path} cannot be written: {error.strerror}"
        raise UnusableError(f"{message}; choose another with --state") from None


def _socket_folder(wished: Path) -> Path:
    if len(os.fsencode(wished)) > _MAX_SOCKET_FOLDER_BYTES:
        return Path(tempfile.mkdtemp(prefix="slipstream-"))
    shutil.rmtree(wished, ignore_errors=True)
    wished.mkdir(mode=0o700)
    return wished
