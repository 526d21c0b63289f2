"""The state folder, locked by one running supervisor at a time."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from slipstream.failures import UnusableError

_MAX_SOCKET_FOLDER_BYTES = 80
"""A Unix socket's path can have 103 bytes on every system; the names in the folder need 20."""

_SECRET_FILES = ("slipstream.db*", "pepper")
_OTHERS_MASK = 0o077


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningSupervisor:
    """The supervisor that runs on a state folder, and where it listens."""

    pid: int
    host: str
    port: int
    grpc_port: int
    tls_certificate: str | None = None
    """The certificate's file, if it uses TLS."""


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
    def claim(
        cls,
        path: Path,
        *,
        host: str,
        port: int,
        grpc_port: int,
        tls_certificate: Path | None = None,
    ) -> StateFolder:
        """Create the folder if it does not exist, and lock it.

        Raises:
            UnusableError: it cannot be written, or another supervisor uses it.
        """
        path = path.absolute()
        with _write_errors(path):
            ensure_state_folder(path)
            _restrict_permissions(path)
            (path / "run").mkdir(mode=0o700, exist_ok=True)
            lock = os.open(_lock_file(path), os.O_RDWR | os.O_CREAT, 0o600)
        if not _try_lock(lock):
            found = running_supervisor(path)
            os.close(lock)
            who = f" (process {found.pid}, port {found.port})" if found else ""
            message = f"the state folder {path} is in use by another `slipstream up`{who}"
            raise UnusableError(f"{message}: stop that, or choose another with --state")
        _write_running(lock, host, port, grpc_port, tls_certificate)
        return cls(path, lock, _socket_folder(path / "run" / "sockets"))

    @classmethod
    def adopt(
        cls,
        path: Path,
        *,
        lock: int,
        sockets: Path,
        host: str,
        port: int,
        grpc_port: int,
        tls_certificate: Path | None = None,
    ) -> StateFolder:
        """Take over a folder that is locked already, with its sockets."""
        _write_running(lock, host, port, grpc_port, tls_certificate)
        return cls(path.absolute(), lock, sockets)

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


def running_supervisor(path: Path) -> RunningSupervisor | None:
    """Return the supervisor that runs on the folder, or None."""
    try:
        lock = os.open(_lock_file(path), os.O_RDONLY)
    except OSError:
        return None
    try:
        if _try_lock(lock):
            return None
        return RunningSupervisor(**json.loads(os.read(lock, 4096)))
    except (ValueError, TypeError):
        return None  # it has locked the folder and not yet written the file
    finally:
        os.close(lock)


@contextmanager
def _write_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        message = f"the state folder {path} cannot be written: {error.strerror}"
        raise UnusableError(f"{message}; choose another with --state") from None


def _lock_file(path: Path) -> Path:
    return path / "run" / "supervisor.lock"


def _write_running(
    lock: int, host: str, port: int, grpc_port: int, tls_certificate: Path | None
) -> None:
    mine = RunningSupervisor(
        pid=os.getpid(),
        host=host,
        port=port,
        grpc_port=grpc_port,
        tls_certificate=str(tls_certificate) if tls_certificate else None,
    )
    document = json.dumps(asdict(mine)).encode()
    os.pwrite(lock, document, 0)
    os.ftruncate(lock, len(document))


def _try_lock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _socket_folder(wished: Path) -> Path:
    if len(os.fsencode(wished)) > _MAX_SOCKET_FOLDER_BYTES:
        return Path(tempfile.mkdtemp(prefix="slipstream-"))
    shutil.rmtree(wished, ignore_errors=True)
    wished.mkdir(mode=0o700)
    return wished
