"""Files that are surely on disk, and copies that follow no symbolic link."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from model_store.errors import StoreError, invalid_request
from model_store.manifest import File

_BLOCK = 1 << 20


def copy_into(base: Path, location: PurePosixPath, target: Path) -> File:
    """Copy `base`/`location` to `target`/`location`, fsynced; return its digest and size.

    Below `base` nothing that is a symbolic link is followed. Raises FileNotFoundError where there
    is no such file, StoreError (INVALID_REQUEST) for a link and for anything that is no file.
    """
    copy = target / location
    with _opened_beneath(base, location) as source:
        copy.parent.mkdir(parents=True, exist_ok=True)
        with copy.open("xb") as sink:
            digest, size = _digest(source, sink)
            _sync(sink)
    return File(path=str(location), sha256=digest, size=size)


def digest(base: Path, location: PurePosixPath) -> File:
    """Return the digest and size of `base`/`location`; refuses what `copy_into` refuses."""
    with _opened_beneath(base, location) as source:
        sha256, size = _digest(source, None)
    return File(path=str(location), sha256=sha256, size=size)


def refuse_links(folder: Path) -> None:
    """Raise StoreError (INVALID_REQUEST) if anything in `folder`, at any depth, is a link."""
    for parent, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(parent, name)
            if path.is_symlink():
                raise _link(path)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a reader, or a crash, sees all of it or the one before."""
    draft = path.with_name(f".{path.name}.draft")
    with draft.open("wb") as sink:
        sink.write(content)
        _sync(sink)
    draft.replace(path)
    sync_folder(path.parent)


def sync_tree(folder: Path) -> None:
    """Make the names of everything below `folder` durable, the deepest folders first."""
    for parent, _, _ in os.walk(folder, topdown=False):
        sync_folder(Path(parent))


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _opened_beneath(base: Path, location: PurePosixPath) -> Iterator[IO[bytes]]:
    """Open a file step by step, so that no link can be slipped in between a check and the use."""
    path = base / location
    with ExitStack() as stack:
        # The base itself is the caller's own word: links on the way to it are followed.
        folder = _open(str(base), os.O_DIRECTORY, None, path)
        stack.callback(os.close, folder)
        for step in location.parts[:-1]:
            folder = _open(step, os.O_DIRECTORY | os.O_NOFOLLOW, folder, path)
            stack.callback(os.close, folder)
        # O_NONBLOCK: opening a named pipe would wait for a writer, perhaps for ever.
        handle = _open(location.name, os.O_NONBLOCK | os.O_NOFOLLOW, folder, path)
        stack.callback(os.close, handle)
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise invalid_request(f"'{path}' is no regular file")
        yield stack.enter_context(os.fdopen(handle, "rb", buffering=0, closefd=False))


def _open(name: str, flags: int, folder: int | None, path: Path) -> int:
    try:
        return os.open(name, os.O_RDONLY | flags, dir_fd=folder)
    except FileNotFoundError:
        raise
    except OSError as error:
        if flags & os.O_NOFOLLOW and error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise _link(path) from error
        raise invalid_request(f"'{path}' cannot be read: {error.strerror}") from error


def _digest(source: IO[bytes], sink: IO[bytes] | None) -> tuple[str, int]:
    sha256, size = hashlib.sha256(), 0
    while block := source.read(_BLOCK):
        sha256.update(block)
        size += len(block)
        if sink is not None:
            sink.write(block)
    return sha256.hexdigest(), size


def _sync(sink: IO[bytes]) -> None:
    sink.flush()
    os.fsync(sink.fileno())


def _link(path: Path) -> StoreError:
    return invalid_request(f"'{path}' is or lies behind a symbolic link: pass the file itself")
