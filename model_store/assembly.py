"""Bringing a model and its external data into the store, and having the copy inspected."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from model_store import files
from model_store.errors import MissingDataError, invalid_request
from model_store.manifest import File, Inspection
from model_store.names import MODEL_FILE, check_location
from model_store.verification import Verifier


def assemble(source: Path, staged: Path, verify: Verifier) -> tuple[tuple[File, ...], Inspection]:
    """Copy `source` and its external data into `staged`; return the files and what they hold.

    `source` is an .onnx file or a folder with a model.onnx. It is the copy that `verify` inspects,
    so that what was inspected is what will be served. Raises StoreError (INVALID_REQUEST) for
    what is missing, unreadable or a link, and (INVALID_MODEL) where `verify` refuses the model.
    """
    base, name = _located(source)
    copies = [_copied_model(base, name, staged)]
    model = staged / MODEL_FILE
    try:
        inspection = verify.inspect(model)
    except MissingDataError as missing:
        # Only a look inside says which files a model needs; the second look finds them beside it.
        copies += [_copied_data(base, location, staged) for location in missing.locations]
        inspection = verify.inspect(model)
    return tuple(copies), inspection


def _located(source: Path) -> tuple[Path, str]:
    """Return the folder that a model and its data lie in, and the model's file name there."""
    try:
        if source.is_symlink():
            raise invalid_request(f"'{source}' is a symbolic link: pass the file or folder itself")
        if not source.is_dir():
            return source.parent, source.name
        files.refuse_links(source)
    except OSError as error:
        raise invalid_request(f"'{source}' cannot be read: {error.strerror}") from error
    return source, MODEL_FILE


def _copied_model(base: Path, name: str, staged: Path) -> File:
    try:
        copy = files.copy_into(base, PurePosixPath(name), staged)
    except FileNotFoundError:
        raise invalid_request(f"there is no file '{base / name}'") from None
    (staged / name).rename(staged / MODEL_FILE)
    return File(path=MODEL_FILE, sha256=copy.sha256, size=copy.size)


def _copied_data(base: Path, location: str, staged: Path) -> File:
    try:
        return files.copy_into(base, check_location(location), staged)
    except FileNotFoundError:
        raise MissingDataError([location]) from None
