"""Versions of a remote store on this host's disk: fetched once, checked, and evicted when old."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from model_store import files
from model_store.errors import StoreError, invalid_model
from model_store.manifest import File, Manifest
from model_store.names import MANIFEST_FILE, MODEL_FILE, check_location, is_version

_SOURCE_SUFFIX = ".source"
_IN_USE_SECONDS = 600.0
"""After its last use, in which a version is not evicted: an inference server may be loading it."""
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

    def provide(self, manifest: Manifest, upload: str, read: ReadFile) -> None:
        """Have a version here: what this or another process has fetched, else what `read` returns.

        One process of the host fetches, and the others wait for it.

        Args:
            manifest: of the version.
            upload: identifies the upload that it is a copy of.
            read: reads its files; what it raises is passed on.

        Raises:
            StoreError: INVALID_MODEL if the files are not those of the manifest.
        """
        name, version = manifest.name, manifest.version
        with self._lock(name, version):
            source = self._source(name, version)
            if _content(source) == upload:
                os.utime(source)
                return
            self._evict(manifest.size)
            partial = self.root / ".partial" / upload
            for file in manifest.files:
                _transfer(file, partial / _location(file.path), read)
            files.write_atomically(partial / MANIFEST_FILE, manifest.to_json())
            files.sync_tree(partial)
            self._discard(name, version)
            partial.rename(self._place(name, version))
            files.write_atomically(source, upload.encode())

    def touch(self, name: str, version: int) -> None:
        """Note that a version is used now."""
        with suppress(FileNotFoundError):
            os.utime(self._source(name, version))

    def _evict(self, needed: int) -> None:
        """Delete what was not used for longest, until `needed` bytes fit, and old beginnings."""
        now = time.time()
        for partial in (self.root / ".partial").glob("*"):
            with suppress(FileNotFoundError):
                if now - partial.stat().st_mtime > _PARTIAL_SECONDS:
                    shutil.rmtree(partial, ignore_errors=True)
        versions = sorted(self._versions())
        excess = sum(size for _, size, _, _ in versions) + needed - self._max_bytes
        for used_at, size, name, version in versions:
            if excess <= 0 or now - used_at < _IN_USE_SECONDS:
                return
            with suppress(Timeout), self._lock(name, version).acquire(blocking=False):
                self._discard(name, version)
                excess -= size

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


def _transfer(file: File, target: Path, read: ReadFile) -> None:
    """Write a file to `target`, behind what is there of it; raise INVALID_MODEL if it differs."""
    target.parent.mkdir(parents=True, exist_ok=True)
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
    if size != file.size or sha256.hexdigest() != file.sha256:
        target.unlink()
        raise invalid_model(
            f"{file.path} in the model store is not what was published (sha256 {file.sha256}, "
            f"{file.size} bytes): publish the model again as another version"
        )
