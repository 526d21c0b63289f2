"""Copies a whole store while other processes use it."""

from __future__ import annotations

import shutil
from pathlib import Path

from model_store.folder_store import FolderStore


def copy_store(store: FolderStore, target: Path) -> int:
    """Copy every version, and what belongs to the models, into the new folder `target`.

    Versions never change, so the copy is consistent; one that is removed meanwhile is left out.
    Return the number of versions. Raises OSError.
    """
    target.mkdir()
    folders = [path for path in store.root.glob("*") if not path.name.startswith(".")]
    return sum(_copy_model(store, folder.name, target / folder.name) for folder in folders)


def _copy_model(store: FolderStore, name: str, target: Path) -> int:
    target.mkdir()
    count = 0
    for version in store.versions(name):
        source, copy = store.root / name / str(version), target / str(version)
        try:
            shutil.copytree(source, copy)
        except OSError:
            if version in store.versions(name):
                raise
            shutil.rmtree(copy, ignore_errors=True)  # it was removed meanwhile
        else:
            count += 1
    for file in (store.root / name).iterdir():
        if file.is_file() and not file.name.startswith("."):
            shutil.copy2(file, target)
    return count
