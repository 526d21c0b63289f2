"""Durable writes, copies that follow no symbolic link, and checks of published files."""

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
from model_store.manifest import File, Manifest
from model_store.names import MANIFEST_FILE

_BLOCK = 1 << 20


def copy_into(base: Path, location: PurePosixPath, target: Path) -> File:
    """Copy `base`/`location` to `target`/`location`, fsynced; return its digest and size.

    No symbolic link below `base` is followed. Raises FileNotFoundError if there is no such file,
    StoreError (INVALID_REQUEST) for a symbolic link and for anything but a regular file.
    """
    copy = target / location
    with _open_beneath(base, location) as source:
        copy.parent.mkdir(parents=True, exist_ok=True)
        with copy.open("xb") as sink:
            digest, size = _digest(source, sink)
            _sync(sink)
    return File(path=str(location), sha256=digest, size=size)


def digest(base: Path, location: PurePosixPath) -> File:
    """Return the digest and size of `base`/`location`; raises as `copy_into`."""
    with _open_beneath(base, location) as source:
        sha256, size = _digest(source, None)
    return File(path=str(location), sha256=sha256, size=size)


def refuse_links(folder: Path) -> None:
    """Raise StoreError (INVALID_REQUEST) if `folder` holds a symbolic link at any depth."""
    for parent, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(parent, name)
            if path.is_symlink():
                raise _link_error(path)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that readers see the old content or the new, even after a crash."""
    temporary = path.with_name(f".{path.name}.temporary")
    with temporary.open("wb") as sink:
        sink.write(content)
        _sync(sink)
    temporary.replace(path)
    sync_folder(path.parent)


def sync_tree(folder: Path) -> None:
    """Make the names of all files below `folder` durable, deepest folders first."""
    for parent, _, _ in os.walk(folder, topdown=False):
        sync_folder(Path(parent))


def sync_folder(folder: Path) -> None:
    """Make the names of the files in `folder` durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def find_changes(folder: Path, manifest: Manifest) -> list[str]:
    """Read every file in `folder` and return what differs from `manifest`, one line each."""
    changed = [change for file in manifest.files if (change := _find_change(folder, file))]
    known = {MANIFEST_FILE, *(file.path for file in manifest.files)}
    found = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    unknown = sorted({path.relative_to(folder).as_posix() for path in found} - known)
    return changed + [f"{path}: not part of the version" for path in unknown]


def _find_change(folder: Path, file: File) -> str | None:
    try:
        found = digest(folder, PurePosixPath(file.path))
    except FileNotFoundError:
        return f"{file.path}: missing"
    except StoreError as refusal:
        return f"{file.path}: {refusal.message}"
    if found.size != file.size:
        return f"{file.path}: {found.size} bytes, published with {file.size}"
    if found.sha256 != file.sha256:
        return f"{file.path}: sha256 {found.sha256}, published with {file.sha256}"
    return None


@contextmanager
def _open_beneath(base: Path, location: PurePosixPath) -> Iterator[IO[bytes]]:
    """Open a file folder by folder: a link cannot be put in place between a check and its use."""
    path = base / location
    with ExitStack() as stack:
        # The caller chose the base: links on the way to it are followed.
        folder = _open(str(base), os.O_DIRECTORY, None, path)
        stack.callback(os.close, folder)
        for step in location.parts[:-1]:
            folder = _open(step, os.O_DIRECTORY | os.O_NOFOLLOW, folder, path)
            stack.callback(os.close, folder)
        # O_NONBLOCK: opening a named pipe would wait for a writer.
        handle = _open(location.name, os.O_NONBLOCK | os.O_NOFOLLOW, folder, path)
        stack.callback(os.close, handle)
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise invalid_request(f"'{path}' is not a regular file")
        yield stack.enter_context(os.fdopen(handle, "rb", buffering=0, closefd=False))


def _open(name: str, flags: int, folder: int | None, path: Path) -> int:
    try:
        return os.open(name, os.O_RDONLY | flags, dir_fd=folder)
    except FileNotFoundError:
        raise
    except OSError as error:
        if flags & os.O_NOFOLLOW and error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise _link_error(path) from error
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


def _link_error(path: Path) -> StoreError:
    return invalid_request(f"'{path}' is a symbolic link or lies behind one: pass the file itself")
