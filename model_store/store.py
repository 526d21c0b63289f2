"""The store: immutable versions, and labels that can be moved between them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

from model_store.errors import StoreError
from model_store.manifest import Manifest
from model_store.names import LATEST, parse_version
from model_store.tensor_names import NO_NAMES, TensorNames
from model_store.usage import StoreUsage
from model_store.verification import Verifier
from protos.errors import ErrorCode


class Contents(NamedTuple):
    """What there is of a model."""

    versions: list[int]
    """Ascending."""
    labels: dict[str, int]
    """Label → version."""


class ModelStore(ABC):
    """Models, wherever they are kept.

    Every method blocks, on a disk or a network. Threads, processes and hosts may use one store at
    the same time. An invalid name, version or label raises StoreError (INVALID_REQUEST), an unknown
    one StoreError (NOT_FOUND). Where the store cannot be reached, a remote one raises StoreError
    (MODEL_STORE_UNAVAILABLE), a folder OSError.
    """

    root: Path
    """The folder on whose disk uploads are received and verified."""
    is_remote: bool
    """Whether files are transferred, and other hosts may publish between `admit` and the end of
    `publish`. In a folder, a lock prevents that."""

    @abstractmethod
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
        """Copy a model into the store as `version`, by default the next one.

        `source` is an .onnx file with its external data beside it, or a folder with a model.onnx.
        `names` are those of its columns and classes, `owner` is who `usage` counts the version for.
        `admit` is called when only the version's last step is left; what it raises refuses it. Of a
        remote store, it may be called again.

        Raises:
            StoreError: INVALID_MODEL if `verifier` refuses the copy, or nothing of the model can be
                served; INVALID_REQUEST if the source is not a regular file or `names` do not fit,
                CONFLICT if the version exists. Nothing is left behind.
        """

    @abstractmethod
    def upload_folder(self) -> AbstractContextManager[Path]:
        """Return a context with an empty folder below `root`, which is deleted with it."""

    @abstractmethod
    def usage(self) -> StoreUsage:
        """Return the bytes of all published files, and whose they are."""

    @abstractmethod
    def names(self, after: str = "") -> Iterator[str]:
        """Yield the names of the models that have a version, sorted; those after `after`."""

    @abstractmethod
    def contents(self, names: Iterable[str]) -> dict[str, Contents]:
        """Return versions and labels of several models."""

    @abstractmethod
    def versions(self, name: str) -> list[int]:
        """Return the versions of a model, ascending; [] if there are none."""

    def size(self, name: str, version: int) -> int | None:
        """Return the bytes of a version that `fetch` can provide; None if there is none."""
        try:
            return self.manifest(name, version).size
        except StoreError as error:
            if error.code is ErrorCode.NOT_FOUND:
                return None
            raise

    @abstractmethod
    def manifest(self, name: str, version: int) -> Manifest:
        """Return the manifest of a version; raise INVALID_MODEL if it is damaged."""

    @abstractmethod
    def fetch(self, name: str, version: int) -> Path:
        """Have a version on this host, and return the root of a folder store that contains it.

        May take as long as it takes to transfer the files. They are checked against the manifest
        after a transfer; INVALID_MODEL if they differ.
        """

    @abstractmethod
    def model_file(self, name: str, version: int) -> AbstractContextManager[Path]:
        """Return a context with a version's model.onnx, perhaps without its external data.

        Where the version is not on this host, that file alone is transferred, checked, and deleted
        with the context; nothing is evicted for it. STORAGE_QUOTA_EXCEEDED if it does not fit.
        """

    @abstractmethod
    def note_use(self, name: str, version: int) -> None:
        """Note that a fetched version is used, and not to be evicted."""

    @abstractmethod
    def labels(self, name: str) -> dict[str, int]:
        """Return label → version, sorted by label; {} if there are none."""

    @abstractmethod
    def set_label(self, name: str, label: str, version: int) -> None:
        """Point `label` to `version`; one that exists is moved."""

    @abstractmethod
    def delete_label(self, name: str, label: str) -> None:
        """Delete a label; the version stays."""

    @abstractmethod
    def remove(self, name: str, version: int) -> None:
        """Delete a version; raise StoreError (CONFLICT) while a label points to it.

        A process that has loaded the model is not affected. The number is not assigned again,
        unless `publish` is called with exactly that version.
        """

    @abstractmethod
    def find_changes(self, name: str, version: int, *, read: bool = True) -> list[str]:
        """Read a version's files again and return what differs from its manifest, if anything.

        Without `read`, a remote store only compares their sizes.
        """

    @abstractmethod
    def close(self) -> None:
        """End transfers that are under way: they raise MODEL_STORE_UNAVAILABLE soon."""

    def resolve(self, name: str, spec: str = LATEST) -> int:
        """Return the version that `spec` refers to: `latest`, a number as in `3`, or a label."""
        versions = self.versions(name)
        if spec == LATEST and versions:
            return versions[-1]
        wanted = parse_version(spec) if spec.isdigit() else self.labels(name).get(spec)
        if wanted not in versions:
            raise self.not_found(name, f"version or label '{spec}'")
        return wanted

    def refuse_labelled(self, name: str, version: int) -> None:
        """Raise StoreError (CONFLICT) if a label points to the version."""
        labels = [label for label, number in self.labels(name).items() if number == version]
        if labels:
            message = (
                f"version {version} of '{name}' is labelled {', '.join(labels)}: move the label"
            )
            raise StoreError(ErrorCode.CONFLICT, message)

    def check_exists(self, name: str) -> None:
        """Raise StoreError (NOT_FOUND) if the model has no version."""
        if not self.versions(name):
            raise self.not_found(name, "version")

    def not_found(self, name: str, what: str) -> StoreError:
        """Return the error for something that a model does not have."""
        numbers = self.versions(name)
        if not numbers:
            return StoreError(ErrorCode.NOT_FOUND, f"there is no model '{name}' in the store")
        known = ", ".join((*map(str, numbers), *self.labels(name)))
        message = f"model '{name}' has no {what}; it has {known}"
        return StoreError(ErrorCode.NOT_FOUND, message)


def conflict(name: str, version: int) -> StoreError:
    """Return the error for a version that exists."""
    message = f"version {version} of '{name}' exists: versions are immutable, publish a new one"
    return StoreError(ErrorCode.CONFLICT, message)
