"""Whether the files of a version are still those that were published."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from model_store import files
from model_store.errors import StoreError
from model_store.manifest import File, Manifest
from model_store.names import MANIFEST_FILE


def file_problems(folder: Path, manifest: Manifest) -> list[str]:
    """Read every file in `folder` and return what differs from `manifest`, a line for each."""
    changed = [problem for file in manifest.files if (problem := _problem(folder, file))]
    known = {MANIFEST_FILE, *(file.path for file in manifest.files)}
    found = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    strange = sorted({path.relative_to(folder).as_posix() for path in found} - known)
    return changed + [f"{path}: not part of the version" for path in strange]


def _problem(folder: Path, file: File) -> str | None:
    try:
        found = files.digest(folder, PurePosixPath(file.path))
    except FileNotFoundError:
        return f"{file.path}: missing"
    except StoreError as refusal:
        return f"{file.path}: {refusal.message}"
    if found.size != file.size:
        return f"{file.path}: {found.size} bytes, published with {file.size}"
    if found.sha256 != file.sha256:
        return f"{file.path}: sha256 {found.sha256}, published with {file.sha256}"
    return None
