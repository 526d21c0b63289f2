"""A store in a bucket: Amazon S3 and what speaks its protocol, Google Cloud Storage, Azure.

Keys below the URL's prefix:

* `data/<model>/<owner>/<upload>/<file>`: the files of an upload; `_` is no owner.
* `versions/<model>/<version>.json`: manifest and upload of a version. It is created last, and only
  if there is none: of two publishers of one version, one succeeds.
* `removed/<model>/<version>`: a version that was removed; its number is not assigned again.
* `labels/<model>/<label>`: the version that a label points to.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

import obstore
import orjson
from filelock import FileLock
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    PermissionDeniedError,
    UnauthenticatedError,
)
from obstore.store import ObjectStore, from_url

from model_store.cache import VersionCache
from model_store.errors import StoreError, invalid_request
from model_store.manifest import File, Manifest, manifest_of
from model_store.names import check_label, check_name, check_version, is_version
from model_store.servable import check_servable
from model_store.staging import StagingArea, stage_model
from model_store.store import ModelStore, conflict
from model_store.usage import StoreUsage
from model_store.verification import Verifier
from protos.errors import ErrorCode

_CONNECT_SECONDS = 5
_READ_SECONDS = 10
"""Without a byte."""
_LOOK_SECONDS = 2
"""For the question whether a version that is here is still that of the bucket."""
_RETRY_SECONDS = 10
"""In which a request is repeated."""
_READ_ATTEMPTS = 5
"""Of one file. Each continues where the last one ended."""
_READ_PAUSE_SECONDS = 1.0
_CHUNK_BYTES = 4 << 20
_NO_OWNER = "_"
_ENDING = ".json"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Published:
    """What the last object of a version says."""

    manifest: Manifest
    upload: str
    """The prefix of its files."""

    def to_json(self) -> bytes:
        """Return it as JSON; `from_json` reads it back."""
        manifest = orjson.Fragment(self.manifest.to_json())
        return orjson.dumps({"upload": self.upload, "manifest": manifest})

    @classmethod
    def from_json(cls, document: bytes) -> Self:
        """Read what `to_json` wrote; raise StoreError (INVALID_MODEL) on anything else."""
        try:
            read = orjson.loads(document)
            upload, manifest = str(read["upload"]), orjson.dumps(read["manifest"])
        except (ValueError, TypeError, KeyError) as error:
            message = f"the manifest is damaged ({error}): publish the model as another version"
            raise StoreError(ErrorCode.INVALID_MODEL, message) from error
        return cls(manifest=Manifest.from_json(manifest), upload=upload)


class BucketStore(ModelStore):
    """The models in a bucket. What this host needs of them is in `cache`.

    Args:
        url: of the bucket, with a prefix if other things are in it, too.
        cache: of this host.
        options: credentials, endpoint and the like, by the names of obstore's S3Config, GCSConfig
            and AzureConfig. What is not there comes from the environment, under the names that the
            vendors' own tools use: `AWS_ACCESS_KEY_ID`, `GOOGLE_APPLICATION_CREDENTIALS`…

    Raises:
        StoreError: INVALID_REQUEST, the URL or an option cannot be used.
    """

    is_remote = True

    def __init__(self, url: str, cache: VersionCache, options: Mapping[str, str]) -> None:
        self.root = cache.root
        self._url = url
        self._closed = False
        self._cache = cache
        self._staging = StagingArea(cache.root / ".staging", FileLock(cache.root / ".lock"))
        # A large file may take hours
        self._objects = self._open(options, seconds=86_400, retries=5)
        self._impatient = self._open(options, seconds=_LOOK_SECONDS, retries=0)

    def publish(
        self,
        source: Path,
        name: str,
        *,
        version: int | None = None,
        verifier: Verifier,
        owner: str | None = None,
        admit: Callable[[], None] | None = None,
    ) -> Manifest:
        """See ModelStore."""
        check_name(name)
        if version is not None and check_version(version) in self.versions(name):
            raise conflict(name, version)
        upload = f"data/{name}/{owner or _NO_OWNER}/{uuid4().hex}"
        with self.upload_folder() as staged:
            copies, inspection = stage_model(source, staged, verifier)
            check_servable(inspection)
            try:
                for file in copies:
                    with self._reaching():
                        obstore.put(self._objects, f"{upload}/{file.path}", staged / file.path)
                while True:
                    number = version or self._next_version(name)
                    manifest = manifest_of(name, number, copies, inspection)
                    if admit is not None:
                        admit()
                    if self._create(_Published(manifest=manifest, upload=upload)):
                        return manifest
                    if version is not None:
                        raise conflict(name, version)  # noqa: TRY301
            except BaseException:
                with suppress(StoreError):  # it stays there, and counts as the owner's
                    self._delete(f"{upload}/{file.path}" for file in copies)
                raise

    def upload_folder(self) -> AbstractContextManager[Path]:
        """See ModelStore."""
        self.root.mkdir(parents=True, exist_ok=True)
        return self._staging.folder()

    def usage(self) -> StoreUsage:
        """See ModelStore. Uploads that were never published count, too."""
        sizes: dict[tuple[str, str, str], int] = {}
        for key, size in self._keys("data"):
            _, name, owner, upload, *_ = key.split("/")
            sizes[name, owner, upload] = sizes.get((name, owner, upload), 0) + size
        usage = StoreUsage()
        for (_, owner, _), size in sizes.items():
            usage.add(size, None if owner == _NO_OWNER else owner)
        return usage

    def names(self) -> list[str]:
        """See ModelStore."""
        return sorted({key.split("/")[1] for key, _ in self._keys("versions")})

    def versions(self, name: str) -> list[int]:
        """See ModelStore."""
        return self._numbers(f"versions/{check_name(name)}", _ENDING)

    def has(self, name: str, version: int) -> bool:
        """See ModelStore."""
        try:
            with self._reaching():
                obstore.head(self._objects, _key(name, version))
        except FileNotFoundError:
            return False
        except StoreError:
            if self._cache.has(name, version):
                return True
            raise
        return True

    def manifest(self, name: str, version: int) -> Manifest:
        """See ModelStore."""
        return self._published(name, version).manifest

    def fetch(self, name: str, version: int) -> Path:
        """See ModelStore. Without the bucket, a version that was fetched before is used."""
        is_here = self._cache.has(name, version)
        try:
            published = self._published(name, version, self._impatient if is_here else None)
        except StoreError as error:
            if error.code is ErrorCode.MODEL_STORE_UNAVAILABLE and is_here:
                self._cache.touch(name, version)
                return self._cache.root
            raise

        def read(file: File, offset: int) -> Iterator[memoryview]:
            return self._read(f"{published.upload}/{file.path}", offset)

        try:
            self._cache.provide(published.manifest, published.upload.split("/")[-1], read)
        except FileNotFoundError:
            raise self.not_found(name, f"version {version}") from None  # it was removed just now
        return self._cache.root

    def labels(self, name: str) -> dict[str, int]:
        """See ModelStore."""
        found = {}
        for key, _ in self._keys(f"labels/{check_name(name)}"):
            with suppress(FileNotFoundError, ValueError):  # deleted just now, or written by others
                found[key.rpartition("/")[2]] = int(self._get(key))
        return dict(sorted(found.items()))

    def set_label(self, name: str, label: str, version: int) -> None:
        """See ModelStore."""
        key = f"labels/{name}/{check_label(label)}"
        self.check_exists(name)
        self._published(name, version)
        with self._reaching():
            obstore.put(self._objects, key, str(version).encode())
        if version not in self.versions(name):  # it was removed meanwhile, see `remove`
            self._delete([key])
            raise self.not_found(name, f"version {version}")

    def delete_label(self, name: str, label: str) -> None:
        """See ModelStore."""
        self.check_exists(name)
        if check_label(label) not in self.labels(name):
            raise self.not_found(name, f"label '{label}'")
        self._delete([f"labels/{name}/{label}"])

    def remove(self, name: str, version: int) -> None:
        """See ModelStore."""
        published = self._published(name, version)
        self.refuse_labelled(name, version)
        with self._reaching():
            obstore.put(self._objects, f"removed/{name}/{version}", b"")
        self._delete([_key(name, version)])
        try:
            # A label may have been set since. Either this sees it, or `set_label` sees that the
            # version is gone
            self.refuse_labelled(name, version)
        except StoreError:
            self._create(published)
            raise
        self._delete(f"{published.upload}/{file.path}" for file in published.manifest.files)

    def find_changes(self, name: str, version: int, *, read: bool = True) -> list[str]:
        """See ModelStore. It is about the bucket, not the cache."""
        try:
            published = self._published(name, version)
        except StoreError as damage:
            if damage.code is not ErrorCode.INVALID_MODEL:
                raise
            return [damage.message]
        find_change = self._find_change if read else self._find_change_of_size
        changed = (find_change(published.upload, file) for file in published.manifest.files)
        return [change for change in changed if change]

    def close(self) -> None:
        """See ModelStore."""
        self._closed = True

    def _find_change(self, upload: str, file: File) -> str | None:
        sha256, size = hashlib.sha256(), 0
        try:
            for piece in self._read(f"{upload}/{file.path}", 0):
                sha256.update(piece)
                size += len(piece)
        except FileNotFoundError:
            return f"{file.path}: missing"
        if size != file.size:
            return _other_size(file, size)
        if sha256.hexdigest() != file.sha256:
            return f"{file.path}: sha256 {sha256.hexdigest()}, published with {file.sha256}"
        return None

    def _find_change_of_size(self, upload: str, file: File) -> str | None:
        try:
            with self._reaching():
                size = obstore.head(self._objects, f"{upload}/{file.path}")["size"]
        except FileNotFoundError:
            return f"{file.path}: missing"
        return None if size == file.size else _other_size(file, size)

    def _open(self, options: Mapping[str, str], *, seconds: int, retries: int) -> ObjectStore:
        """Return a client whose requests may take so long, and are repeated so often."""
        config: Any = dict(options)  # which keys there are depends on the URL
        try:
            return from_url(
                self._url,
                client_options={
                    "connect_timeout": timedelta(seconds=min(seconds, _CONNECT_SECONDS)),
                    "read_timeout": timedelta(seconds=min(seconds, _READ_SECONDS)),
                    "timeout": timedelta(seconds=seconds),
                    "allow_http": options.get("endpoint", "").startswith("http://"),
                },
                retry_config={
                    "max_retries": retries,
                    "retry_timeout": timedelta(seconds=_RETRY_SECONDS),
                },
                config=config,
            )
        except (BaseError, ValueError) as error:
            message = f"the model store {self._url}: {_first_line(error)}"
            raise invalid_request(message) from error

    def _published(self, name: str, version: int, client: ObjectStore | None = None) -> _Published:
        key = _key(check_name(name), check_version(version))
        try:
            return _Published.from_json(self._get(key, client))
        except FileNotFoundError:
            raise self.not_found(name, f"version {version}") from None

    def _create(self, published: _Published) -> bool:
        """Write the last object of a version; return whether there was none."""
        key = _key(published.manifest.name, published.manifest.version)
        try:
            with self._reaching():
                obstore.put(self._objects, key, published.to_json(), mode="create")
        except AlreadyExistsError:
            # Perhaps by this request itself, whose answer was lost before it was repeated
            with suppress(FileNotFoundError):
                return _Published.from_json(self._get(key)).upload == published.upload
            return False
        return True

    def _next_version(self, name: str) -> int:
        taken = self.versions(name) + self._numbers(f"removed/{name}", "")
        return max(taken, default=0) + 1

    def _numbers(self, prefix: str, ending: str) -> list[int]:
        names = (key.rpartition("/")[2].removesuffix(ending) for key, _ in self._keys(prefix))
        return sorted(int(number) for number in names if is_version(number))

    def _keys(self, prefix: str) -> list[tuple[str, int]]:
        """Return keys below a prefix, each with its size in bytes."""
        with self._reaching():
            pages = list(obstore.list(self._objects, prefix=prefix))
        return [(each["path"], each["size"]) for page in pages for each in page]

    def _get(self, key: str, client: ObjectStore | None = None) -> bytes:
        with self._reaching():
            return bytes(obstore.get(client or self._objects, key).bytes())

    def _read(self, key: str, offset: int) -> Iterator[memoryview]:
        """Yield an object's content from an offset on. Continues after a failure, a few times."""
        for attempt in range(1, _READ_ATTEMPTS + 1):
            try:
                with self._reaching():
                    found = obstore.get(self._objects, key, options={"range": {"offset": offset}})
                    for chunk in found.stream(min_chunk_size=_CHUNK_BYTES):
                        yield memoryview(chunk)
                        offset += len(chunk)
                        self._refuse_closed()
            except StoreError:
                if self._closed or attempt == _READ_ATTEMPTS:
                    raise
                time.sleep(_READ_PAUSE_SECONDS)
            else:
                return

    def _refuse_closed(self) -> None:
        if self._closed:
            message = "the process ends: the next one goes on with the transfer"
            raise StoreError(ErrorCode.MODEL_STORE_UNAVAILABLE, message)

    def _delete(self, keys: Iterator[str] | list[str]) -> None:
        for key in keys:
            with suppress(FileNotFoundError), self._reaching():
                obstore.delete(self._objects, key)

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        """Translate errors. FileNotFoundError and AlreadyExistsError are the caller's."""
        try:
            yield
        except AlreadyExistsError:
            raise
        except (PermissionDeniedError, UnauthenticatedError) as error:
            message = f"the model store {self._url} refuses the request: {_first_line(error)}"
            advice = "check its credentials, and that they may list, read, write and delete"
            raise StoreError(ErrorCode.MODEL_STORE_UNAVAILABLE, f"{message}; {advice}") from error
        except BaseError as error:
            message = f"the model store {self._url} cannot be reached: {_first_line(error)}"
            raise StoreError(ErrorCode.MODEL_STORE_UNAVAILABLE, message) from error


def _other_size(file: File, size: int) -> str:
    return f"{file.path}: {size} bytes, published with {file.size}"


def _key(name: str, version: int) -> str:
    return f"versions/{name}/{version}{_ENDING}"


def _first_line(error: Exception) -> str:
    """Return what happened, without the dump of the request's attempts that follows it."""
    return str(error).strip().splitlines()[0][:300] if str(error).strip() else repr(error)
