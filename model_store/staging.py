"""Where a version is put together before it is published, and taken apart after it is removed."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from uuid import uuid4

from filelock import FileLock

from model_store import files
from model_store.errors import MissingDataError, invalid_request
from model_store.foreign_formats import describe_folder
from model_store.manifest import File, Inspection
from model_store.names import MODEL_FILE, check_location
from model_store.verification import Verifier


class StagingArea:
    """Folders that exist only while they are being worked on.

    A folder is locked (flock) while the process that made it lives. One without a lock was left by
    a process that died, and is deleted when the next folder is made.
    """

    def __init__(self, root: Path, lock: FileLock) -> None:
        """Use the folder `root`; `lock` protects a new folder until it is locked itself."""
        self._root = root
        self._lock = lock

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """Yield a new empty folder. What it still holds at the end is deleted."""
        path = self._root / uuid4().hex
        with self._lock:
            self._delete_leftovers()
            path.mkdir(parents=True)
            handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(handle, fcntl.LOCK_EX)
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)
            os.close(handle)

    def _delete_leftovers(self) -> None:
        self._root.mkdir(parents=True, exist_ok=True)
        for path in self._root.iterdir():
            if not _is_locked(path):
                shutil.rmtree(path, ignore_errors=True)


def stage_model(
    source: Path, staged: Path, verifier: Verifier
) -> tuple[tuple[File, ...], Inspection]:
    """Copy `source` and its external data into `staged`; return the files and what they hold.

    `source` is an .onnx file or a folder with a model.onnx. `verifier` inspects the copy, so that
    the inspected bytes are those that will be served.

    Raises:
        StoreError: INVALID_REQUEST if something is missing, unreadable or a symbolic link,
            INVALID_MODEL if `verifier` refuses the model.
    """
    base, name = _locate(source)
    copies = [_copy_model(base, name, staged)]
    model = staged / MODEL_FILE
    try:
        inspection = verifier.inspect(model)
    except MissingDataError as missing:
        # Only the model itself tells which files it needs: copy them and inspect it again.
        copies += [_copy_data(base, location, staged) for location in missing.locations]
        inspection = verifier.inspect(model)
    return tuple(copies), inspection


def _is_locked(path: Path) -> bool:
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


def _locate(source: Path) -> tuple[Path, str]:
    """Return the folder of a model and its external data, and the name of the model's file."""
    try:
        if source.is_symlink():
            raise invalid_request(f"'{source}' is a symbolic link: pass the file or folder itself")
        if not source.is_dir():
            return source.parent, source.name
        files.refuse_links(source)
    except OSError as error:
        raise invalid_request(f"'{source}' cannot be read: {error.strerror}") from error
    return source, MODEL_FILE


def _copy_model(base: Path, name: str, staged: Path) -> File:
    try:
        copy = files.copy_into(base, PurePosixPath(name), staged)
    except FileNotFoundError:
        missing = f"there is no file '{base / name}'"
        description = describe_folder(base) if base.is_dir() and name == MODEL_FILE else None
        if description is not None:
            missing += f": the folder is {description}"
        raise invalid_request(missing) from None
    (staged / name).rename(staged / MODEL_FILE)
    return File(path=MODEL_FILE, sha256=copy.sha256, size=copy.size)


def _copy_data(base: Path, location: str, staged: Path) -> File:
    try:
        return files.copy_into(base, check_location(location), staged)
    except FileNotFoundError:
        raise MissingDataError([location]) from None
