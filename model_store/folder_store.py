"""A store in a folder, which all processes that use it see.

Below the root: `<name>/<version>/{model.onnx, manifest.json, external data…}`,
`<name>/labels.json`, and `<name>/owners.json`, which says who uploaded which version. A version is
published by one rename: complete, or not at all.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import orjson
from filelock import FileLock

from model_store import files
from model_store.errors import StoreError
from model_store.manifest import Manifest, manifest_of
from model_store.names import (
    MANIFEST_FILE,
    MODEL_FILE,
    check_label,
    check_name,
    check_version,
    is_version,
)
from model_store.servable import check_servable
from model_store.staging import StagingArea, stage_model
from model_store.store import Contents, ModelStore, conflict
from model_store.tensor_names import NO_NAMES, TensorNames
from model_store.usage import StoreUsage
from model_store.verification import Verifier
from protos.errors import ErrorCode

_LABELS_FILE = "labels.json"
_OWNERS_FILE = "owners.json"
_LAST_VERSION_FILE = "last_version"
"""The highest version that was removed, whose number is not assigned again."""


class FolderStore(ModelStore):
    """The models in one folder, which threads and processes may use at the same time."""

    is_remote = False

    def __init__(self, root: Path) -> None:
        """Use the folder `root`, which is created when the first model is published."""
        self.root = self._root = root
        self._lock = FileLock(root / ".lock")
        self._staging = StagingArea(root / ".staging", self._lock)

    def publish(
        self,
        source: Path,
        name: str,
        *,
        version: int | None = None,
        verifier: Verifier,
        names: TensorNames = NO_NAMES,
        owner: str | None = None,
        admit: Callable[[], None] | None = None,
    ) -> Manifest:
        """See ModelStore."""
        check_name(name)
        if version is not None and self._version_folder(name, check_version(version)).exists():
            raise conflict(name, version)
        self._root.mkdir(parents=True, exist_ok=True)
        with self._staging.folder() as staged:
            copies, inspection = stage_model(source, staged, verifier)
            check_servable(inspection)
            with self._lock:
                number = version or self._next_version(name)
                manifest = manifest_of(name, number, copies, inspection, names)
                files.write_atomically(staged / MANIFEST_FILE, manifest.to_json())
                files.sync_tree(staged)
                if admit is not None:
                    admit()
                self._move_into_place(staged, name, number)
                if owner is not None:
                    owners = self._owners(name) | {str(number): owner}
                    self._write_document(name, _OWNERS_FILE, owners)
        return manifest

    def upload_folder(self) -> AbstractContextManager[Path]:
        """See ModelStore."""
        self._root.mkdir(parents=True, exist_ok=True)
        return self._staging.folder()

    def usage(self) -> StoreUsage:
        """See ModelStore."""
        usage = StoreUsage()
        for name in self.names():
            owners = self._owners(name)
            for version in self._numbers(name):
                with suppress(StoreError, OSError):  # damaged, or removed just now
                    usage.add(self.manifest(name, version).size, owners.get(str(version)))
        return usage

    def names(self, after: str = "") -> Iterator[str]:
        """See ModelStore."""
        if self._root.is_dir():
            folders = (path.name for path in self._root.iterdir())
            for name in sorted(name for name in folders if name > after and name[0] != "."):
                if self._numbers(name):
                    yield name

    def contents(self, names: Iterable[str]) -> dict[str, Contents]:
        """See ModelStore."""
        return {name: Contents(self.versions(name), self.labels(name)) for name in names}

    def versions(self, name: str) -> list[int]:
        """See ModelStore."""
        return self._numbers(check_name(name))

    def manifest(self, name: str, version: int) -> Manifest:
        """See ModelStore."""
        return Manifest.from_json((self.folder(name, version) / MANIFEST_FILE).read_bytes())

    def folder(self, name: str, version: int) -> Path:
        """Return the folder of a version's model.onnx."""
        folder = self._version_folder(check_name(name), check_version(version))
        if not (folder / MANIFEST_FILE).is_file():
            raise self.not_found(name, f"version {version}")
        return folder

    def fetch(self, name: str, version: int) -> Path:
        """See ModelStore: it is here already."""
        self.folder(name, version)
        return self._root

    @contextmanager
    def model_file(self, name: str, version: int) -> Iterator[Path]:
        """See ModelStore."""
        yield self.folder(name, version) / MODEL_FILE

    def note_use(self, name: str, version: int) -> None:
        """See ModelStore: nothing is evicted."""

    def labels(self, name: str) -> dict[str, int]:
        """See ModelStore."""
        try:
            document = orjson.loads((self._root / check_name(name) / _LABELS_FILE).read_bytes())
            return {str(label): int(version) for label, version in sorted(document.items())}
        except FileNotFoundError:
            return {}
        except (ValueError, TypeError, AttributeError) as error:
            message = (
                f"{_LABELS_FILE} of '{name}' is damaged ({error}): delete it, set labels again"
            )
            raise StoreError(ErrorCode.INTERNAL, message) from error

    def set_label(self, name: str, label: str, version: int) -> None:
        """See ModelStore."""
        check_label(label)
        self.check_exists(name)
        with self._lock:
            self.folder(name, version)
            labels = self.labels(name) | {label: version}
            self._write_document(name, _LABELS_FILE, labels)

    def delete_label(self, name: str, label: str) -> None:
        """See ModelStore."""
        self.check_exists(name)
        with self._lock:
            labels = self.labels(name)
            if labels.pop(check_label(label), None) is None:
                raise self.not_found(name, f"label '{label}'")
            self._write_document(name, _LABELS_FILE, labels)

    def remove(self, name: str, version: int) -> None:
        """See ModelStore."""
        folder = self.folder(name, version)
        with self._staging.folder() as discarded, self._lock:
            self.refuse_labelled(name, version)
            last = self._next_version(name) - 1
            files.write_atomically(self._root / name / _LAST_VERSION_FILE, str(last).encode())
            try:
                folder.rename(discarded / folder.name)
            except FileNotFoundError:
                raise self.not_found(name, f"version {version}") from None
            files.sync_folder(folder.parent)
            owners = self._owners(name)
            if owners.pop(str(version), None) is not None:
                self._write_document(name, _OWNERS_FILE, owners)

    def find_changes(self, name: str, version: int, *, read: bool = True) -> list[str]:  # noqa: ARG002
        """See ModelStore."""
        folder = self.folder(name, version)
        try:
            manifest = self.manifest(name, version)
        except StoreError as damage:
            return [damage.message]
        return files.find_changes(folder, manifest)

    def close(self) -> None:
        """See ModelStore: nothing is transferred."""

    def _version_folder(self, name: str, version: int) -> Path:
        return self._root / name / str(version)

    def _numbers(self, name: str) -> list[int]:
        manifests = (self._root / name).glob(f"*/{MANIFEST_FILE}")
        found = (manifest.parent.name for manifest in manifests)
        return sorted(int(number) for number in found if is_version(number))

    def _next_version(self, name: str) -> int:
        folder = self._root / name
        taken = [int(path.name) for path in folder.glob("*") if is_version(path.name)]
        with suppress(FileNotFoundError):  # no version was ever removed
            taken.append(int((folder / _LAST_VERSION_FILE).read_text()))
        return max(taken, default=0) + 1

    def _move_into_place(self, staged: Path, name: str, version: int) -> None:
        """Rename the finished folder to its place, which publishes the version."""
        place = self._version_folder(name, version)
        place.parent.mkdir(exist_ok=True)
        try:
            staged.rename(place)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise conflict(name, version) from None
            raise
        files.sync_folder(place.parent)
        files.sync_folder(self._root)

    def _owners(self, name: str) -> dict[str, str]:
        """Return version → owner of the versions that have one; {} if the file is damaged."""
        try:
            document = orjson.loads((self._root / name / _OWNERS_FILE).read_bytes())
        except (FileNotFoundError, ValueError):
            return {}
        return document if isinstance(document, dict) else {}

    def _write_document(self, name: str, file: str, document: Mapping[str, object]) -> None:
        content = orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)
        files.write_atomically(self._root / name / file, content)
