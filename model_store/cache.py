"""Versions of a remote store on this host's disk: fetched once, checked, and evicted when old."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from model_store import files
from model_store.errors import StoreError, invalid_model
from model_store.manifest import File, Manifest
from model_store.names import MANIFEST_FILE, MODEL_FILE, check_location, is_version
from protos.errors import ErrorCode

_SOURCE_SUFFIX = ".source"
_IN_USE_SECONDS = 600.0
"""After its last use, in which a version is not evicted: an inference server may be loading it."""
_LOCK_SECONDS = 1.0
_RESERVE_BYTES, _RESERVE_SHARE = 2**30, 20
"""Of the disk, 1 GiB or a twentieth, whichever is less, stays free."""
_PARTIAL_SECONDS = 86_400.0
"""After which the beginning of a transfer that was never finished is deleted."""
_BLOCK = 1 << 20

ReadFile = Callable[[File, int], Iterable[memoryview]]
"""Reads a file of a version from an offset on."""


class VersionCache:
    """Versions in a folder with the layout of a folder store, which all processes of a host share.

    Beside a version's folder lies `<version>.source`: which upload it is a copy of, and, by its
    time, when it was last used. The beginning of a transfer that failed is kept in
    `.partial/<upload>`, and continued by the next one.

    Args:
        root: the folder.
        max_bytes: of all versions. One that does not fit is fetched all the same, in place of all
            others.
    """

    def __init__(self, root: Path, max_bytes: int) -> None:
        self.root = root
        self._max_bytes = max_bytes

    def has(self, name: str, version: int) -> bool:
        """Return whether a version is here, of whatever upload."""
        return self._source(name, version).is_file()

    def size(self, name: str, version: int) -> int | None:
        """Return the bytes of a version that is here; None if it is not, or is damaged."""
        manifest = self._place(name, version) / MANIFEST_FILE
        try:
            is_here = self.has(name, version)
            return Manifest.from_json(manifest.read_bytes()).size if is_here else None
        except (FileNotFoundError, StoreError):
            return None

    def provide(
        self, manifest: Manifest, upload: str, read: ReadFile, go_on: Callable[[], None]
    ) -> None:
        """Have a version here: what this or another process has fetched, else what `read` returns.

        One process of the host fetches, and the others wait for it.

        Args:
            manifest: of the version; its name and version are valid.
            upload: identifies the upload that it is a copy of; a valid name of a file.
            read: reads its files; what it raises is passed on.
            go_on: called while another process fetches; what it raises is passed on.

        Raises:
            StoreError: INVALID_MODEL if the files are not those of the manifest,
                STORAGE_QUOTA_EXCEEDED if the disk has too little room.
        """
        name, version = manifest.name, manifest.version
        with self._locked(name, version, go_on):
            source = self._source(name, version)
            if _content(source) == upload:
                os.utime(source)
                return
            partial = self.root / ".partial" / upload
            self._make_room(manifest.size - _size_of(partial))
            for file in manifest.files:
                _transfer(file, partial / _location(file.path), read)
            files.write_atomically(partial / MANIFEST_FILE, manifest.to_json())
            files.sync_tree(partial)
            self._discard(name, version)
            partial.rename(self._place(name, version))
            files.write_atomically(source, upload.encode())

    def find(self, name: str, version: int, upload: str) -> Path | None:
        """Return the folder of a version that is here of that upload, and note its use."""
        if _content(self._source(name, version)) != upload:
            return None
        self.touch(name, version)
        return self._place(name, version)

    def copy_file(self, file: File, target: Path, read: ReadFile) -> None:
        """Write one file of a version to `target`, which is no part of the cache.

        Raises:
            StoreError: as `provide`; nothing is evicted to make room.
        """
        self._check_room(file.size)
        _transfer(file, target, read)

    def touch(self, name: str, version: int) -> None:
        """Note that a version is used now."""
        with suppress(FileNotFoundError):
            os.utime(self._source(name, version))

    def _make_room(self, needed: int) -> None:
        """Delete what was not used for longest until `needed` bytes fit, and old beginnings."""
        for partial in (self.root / ".partial").glob("*"):
            with suppress(FileNotFoundError):
                if time.time() - partial.stat().st_mtime > _PARTIAL_SECONDS:
                    shutil.rmtree(partial, ignore_errors=True)
        versions = sorted(self._versions())
        excess = sum(size for _, size, _, _ in versions) + needed - self._max_bytes
        for _, size, name, version in versions:
            if excess <= 0 and self._room() >= needed:
                return
            if self._evict(name, version):
                excess -= size
        self._check_room(needed)

    def _check_room(self, needed: int) -> None:
        if self._room() < needed:
            raise StoreError(
                ErrorCode.STORAGE_QUOTA_EXCEEDED,
                f"the disk of {self.root} has too little room for a model of {needed} bytes: make "
                "room on this host",
            )

    def _room(self) -> int:
        """Return the free bytes of the disk, but for a reserve that is for others."""
        disk = shutil.disk_usage(self.root)
        return disk.free - min(_RESERVE_BYTES, disk.total // _RESERVE_SHARE)

    def _evict(self, name: str, version: int) -> bool:
        """Delete a version, unless it was used just now or is being fetched."""
        source = self._source(name, version)
        with suppress(Timeout), self._lock(name, version).acquire(blocking=False):
            if not source.exists() or time.time() - source.stat().st_mtime > _IN_USE_SECONDS:
                self._discard(name, version)
                return True
        return False

    def _versions(self) -> Iterator[tuple[float, int, str, int]]:
        """Yield when each version was last used, its bytes, name and number."""
        for folder in self.root.glob("[!.]*/*"):
            name, number = folder.parent.name, folder.name
            if not is_version(number):
                continue
            with suppress(FileNotFoundError, StoreError):  # evicted just now
                size = Manifest.from_json((folder / MANIFEST_FILE).read_bytes()).size
                source = self._source(name, int(number))
                # One without was being replaced when the process died
                used_at = source.stat().st_mtime if source.exists() else 0.0
                yield used_at, size, name, int(number)

    def _discard(self, name: str, version: int) -> None:
        self._source(name, version).unlink(missing_ok=True)
        shutil.rmtree(self._place(name, version), ignore_errors=True)

    @contextmanager
    def _locked(self, name: str, version: int, go_on: Callable[[], None]) -> Iterator[None]:
        lock = self._lock(name, version)
        while True:
            try:
                lock.acquire(timeout=_LOCK_SECONDS)
                break
            except Timeout:
                go_on()
        try:
            yield
        finally:
            lock.release()

    def _lock(self, name: str, version: int) -> FileLock:
        (self.root / name).mkdir(parents=True, exist_ok=True)
        return FileLock(self.root / name / f".{version}.lock")

    def _place(self, name: str, version: int) -> Path:
        return self.root / name / str(version)

    def _source(self, name: str, version: int) -> Path:
        return self.root / name / f"{version}{_SOURCE_SUFFIX}"


def _location(path: str) -> Path:
    """Return the path of a file below its version; a manifest from elsewhere may hold any."""
    return Path(path) if path == MODEL_FILE else Path(check_location(path))


def _content(path: Path) -> str | None:
    try:
        return path.read_text()
    except FileNotFoundError:
        return None


def _size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _transfer(file: File, target: Path, read: ReadFile) -> None:
    """Write a file to `target`, behind what is there of it; raise INVALID_MODEL if it differs."""
    target.parent.mkdir(parents=True, exist_ok=True)
    was_begun = target.exists()
    if _is_transferred(file, target, read):
        return
    # The beginning, which was written before, may have been damaged here
    if was_begun and _is_transferred(file, target, read):
        return
    raise invalid_model(
        f"{file.path} in the model store is not what was published (sha256 {file.sha256}, "
        f"{file.size} bytes): publish the model again as another version"
    )


def _is_transferred(file: File, target: Path, read: ReadFile) -> bool:
    """Write the rest of a file; return whether it is the published one, else delete it."""
    sha256 = hashlib.sha256()
    with target.open("a+b") as sink:
        sink.seek(0)
        while block := sink.read(_BLOCK):
            sha256.update(block)
        size = sink.tell()
        if size < file.size:
            for piece in read(file, size):
                size += len(piece)
                if size > file.size:
                    break
                sha256.update(piece)
                sink.write(piece)
        sink.flush()
        os.fsync(sink.fileno())
    if size == file.size and sha256.hexdigest() == file.sha256:
        return True
    target.unlink()
    return False
