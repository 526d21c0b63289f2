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
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self
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

from model_store.cache import ReadFile, VersionCache
from model_store.errors import StoreError, invalid_request
from model_store.manifest import File, Manifest, manifest_of
from model_store.names import (
    MODEL_FILE,
    check_label,
    check_name,
    check_version,
    is_name,
    is_version,
)
from model_store.servable import check_servable
from model_store.staging import StagingArea, stage_model
from model_store.store import Contents, ModelStore, conflict
from model_store.tensor_names import NO_NAMES, TensorNames
from model_store.usage import StoreUsage
from model_store.verification import Verifier
from protos.errors import ErrorCode

if TYPE_CHECKING:
    from obstore import GetOptions
    from obstore.store import ClientConfig, RetryConfig

_CONNECT_SECONDS = 5
_READ_ATTEMPTS = 5
"""Of one file. Each continues where the last one ended."""
_READ_PAUSE_SECONDS = 1.0
_CHUNK_BYTES = 4 << 20
_PARTS_AT_ONCE = 4
"""Of 5 MiB each, of a file that is uploaded."""
_VERSION_PARTS, _DATA_PARTS = 3, 5
"""Of the keys."""
_NO_OWNER = "_"
_ENDING = ".json"
_ADDRESS = re.compile(r"https?://\S+")


class _Patience(NamedTuple):
    """How long requests of a kind may take, in seconds, and how often they are repeated."""

    total: int
    answer: int
    """Until the answer begins, and between its bytes; it includes sending the request's body."""
    retries: int
    retry: int
    """Since the first attempt, in which it is repeated."""


_QUESTION = _Patience(total=20, answer=10, retries=3, retry=10)
_LOOK = _Patience(total=2, answer=2, retries=0, retry=0)
"""Whether a version that is here is still that of the bucket."""
_DOWNLOAD = _Patience(total=86_400, answer=10, retries=3, retry=10)
_UPLOAD = _Patience(total=3_600, answer=300, retries=5, retry=600)
"""Of a part, beside others: 300 s are those of a line of 0.5 Mbit/s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Published:
    """What the last object of a version says."""

    manifest: Manifest
    upload: str
    """The prefix of its files."""

    @property
    def id(self) -> str:
        """Identifies the upload."""
        return self.upload.rpartition("/")[2]

    def to_json(self) -> bytes:
        """Return it as JSON; `from_json` reads it back."""
        manifest = orjson.Fragment(self.manifest.to_json())
        return orjson.dumps({"upload": self.upload, "manifest": manifest})

    @classmethod
    def from_json(cls, document: bytes, name: str, version: int) -> Self:
        """Read what `to_json` wrote of a version.

        Names in it become paths: what is not that version's is refused.

        Raises:
            StoreError: INVALID_MODEL for anything else.
        """
        try:
            read = orjson.loads(document)
            upload = str(read["upload"])
            manifest = Manifest.from_json(orjson.dumps(read["manifest"]))
            if (manifest.name, repr(manifest.version)) != (name, repr(version)):
                raise ValueError(f"of {manifest.name!r} {manifest.version!r}")  # noqa: TRY301
            if not re.fullmatch(rf"data/{re.escape(name)}/[\w.-]+/[0-9a-f]{{32}}", upload):
                raise ValueError(f"upload {upload!r}")  # noqa: TRY301
        except (ValueError, TypeError, KeyError) as error:
            message = f"the manifest is damaged ({error}): publish the model as another version"
            raise StoreError(ErrorCode.INVALID_MODEL, message) from error
        return cls(manifest=manifest, upload=upload)


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
        self._objects = self._open(options, _QUESTION)
        self._impatient = self._open(options, _LOOK)
        self._downloads = self._open(options, _DOWNLOAD)
        self._uploads = self._open(options, _UPLOAD)

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
        if version is not None and check_version(version) in self.versions(name):
            raise conflict(name, version)
        upload = f"data/{name}/{owner or _NO_OWNER}/{uuid4().hex}"
        with self.upload_folder() as staged:
            copies, inspection = stage_model(source, staged, verifier)
            check_servable(inspection)
            is_refused = True  # else the version may exist, although the bucket has not said so
            try:
                for file in copies:
                    self._upload(f"{upload}/{file.path}", staged / file.path)
                while True:
                    number = version or self._next_version(name)
                    manifest = manifest_of(name, number, copies, inspection, names)
                    if admit is not None:
                        admit()
                    is_refused = False
                    if self._create(_Published(manifest=manifest, upload=upload)):
                        return manifest
                    is_refused = True
                    if version is not None:
                        raise conflict(name, version)
            finally:
                if is_refused:
                    self._discard(f"{upload}/{file.path}" for file in copies)

    def upload_folder(self) -> AbstractContextManager[Path]:
        """See ModelStore."""
        self.root.mkdir(parents=True, exist_ok=True)
        return self._staging.folder()

    def usage(self) -> StoreUsage:
        """See ModelStore. Uploads that were never published count, too."""
        sizes: dict[tuple[str, str, str], int] = {}
        for key, size in self._keys("data"):
            parts = key.split("/")
            if len(parts) >= _DATA_PARTS:  # else it is not ours
                which = (parts[1], parts[2], parts[3])
                sizes[which] = sizes.get(which, 0) + size
        usage = StoreUsage()
        for (_, owner, _), size in sizes.items():
            usage.add(size, None if owner == _NO_OWNER else owner)
        return usage

    def names(self, after: str = "") -> Iterator[str]:
        """See ModelStore."""
        yield from sorted(name for name in self._all_versions() if name > after)

    def contents(self, names: Iterable[str]) -> dict[str, Contents]:
        """See ModelStore. It takes two listings, and a request for each label."""
        versions = self._all_versions()
        found = {name: Contents(versions.get(name, []), {}) for name in names}
        for key, _ in self._keys("labels"):
            _, name, label, *_ = (*key.split("/"), "", "")
            if name in found:
                found[name].labels.update(self._read_label(key, label))
        return found

    def versions(self, name: str) -> list[int]:
        """See ModelStore."""
        return self._numbers(f"versions/{check_name(name)}", _ENDING)

    def size(self, name: str, version: int) -> int | None:
        """See ModelStore."""
        cached = self._cache.size(name, version)
        return super().size(name, version) if cached is None else cached

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
        with self._transfer(published) as read:
            self._cache.provide(published.manifest, published.id, read, self._refuse_closed)
        return self._cache.root

    @contextmanager
    def model_file(self, name: str, version: int) -> Iterator[Path]:
        """See ModelStore."""
        published = self._published(name, version)
        if folder := self._cache.find(name, version, published.id):
            yield folder / MODEL_FILE
            return
        with self.upload_folder() as staged:
            with self._transfer(published) as read:
                self._cache.copy_file(published.manifest.files[0], staged / MODEL_FILE, read)
            yield staged / MODEL_FILE

    def note_use(self, name: str, version: int) -> None:
        """See ModelStore."""
        self._cache.touch(name, version)

    def labels(self, name: str) -> dict[str, int]:
        """See ModelStore."""
        found: dict[str, int] = {}
        for key, _ in self._keys(f"labels/{check_name(name)}"):
            found |= self._read_label(key, key.rpartition("/")[2])
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
        self._discard(f"{published.upload}/{file.path}" for file in published.manifest.files)

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

    @contextmanager
    def _transfer(self, published: _Published) -> Iterator[ReadFile]:
        """Yield what reads a version's files; raise INVALID_MODEL if one of them is missing."""
        name, version = published.manifest.name, published.manifest.version
        try:
            yield lambda file, offset: self._read(f"{published.upload}/{file.path}", offset)
        except FileNotFoundError as missing:
            self._published(name, version)  # it may have been removed meanwhile
            message = f"files of '{name}' version {version} are missing in the model store"
            advice = "publish the model again as another version"
            raise StoreError(ErrorCode.INVALID_MODEL, f"{message}: {advice}") from missing

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

    def _open(self, options: Mapping[str, str], patience: _Patience) -> ObjectStore:
        config: Any = dict(options)  # which keys there are depends on the URL
        endpoints = [text for name, text in options.items() if "endpoint" in name]
        client: ClientConfig = {
            "connect_timeout": timedelta(seconds=min(patience.total, _CONNECT_SECONDS)),
            "read_timeout": timedelta(seconds=patience.answer),
            "timeout": timedelta(seconds=patience.total),
        }
        if any(text.startswith("http://") for text in endpoints):
            client["allow_http"] = True
        retry: RetryConfig = {
            "max_retries": patience.retries,
            "retry_timeout": timedelta(seconds=patience.retry),
        }
        try:
            return from_url(self._url, client_options=client, retry_config=retry, config=config)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # some unknown names make the Rust library panic
            message = f"the model store {self._url}: {_reason(error)}"
            raise invalid_request(message) from error

    def _all_versions(self) -> dict[str, list[int]]:
        """Return the versions of each model, ascending."""
        found: dict[str, list[int]] = {}
        for key, _ in self._keys("versions"):
            parts = key.split("/")
            number = parts[-1].removesuffix(_ENDING)
            if len(parts) == _VERSION_PARTS and is_name(parts[1]) and is_version(number):
                found.setdefault(parts[1], []).append(int(number))
        return {name: sorted(numbers) for name, numbers in found.items()}

    def _read_label(self, key: str, label: str) -> dict[str, int]:
        with suppress(FileNotFoundError, ValueError):  # deleted just now, or written by others
            return {label: int(self._get(key))}
        return {}

    def _upload(self, key: str, file: Path) -> None:
        with self._reaching():
            obstore.put(self._uploads, key, file, max_concurrency=_PARTS_AT_ONCE)

    def _published(self, name: str, version: int, client: ObjectStore | None = None) -> _Published:
        key = _key(check_name(name), check_version(version))
        try:
            return _Published.from_json(self._get(key, client), name, version)
        except FileNotFoundError:
            raise self.not_found(name, f"version {version}") from None

    def _create(self, published: _Published) -> bool:
        """Write the last object of a version; return whether there was none.

        After StoreError it is not known whether it was written.
        """
        name, version = published.manifest.name, published.manifest.version
        key = _key(name, version)
        try:
            with self._reaching():
                obstore.put(self._objects, key, published.to_json(), mode="create")
        except AlreadyExistsError:
            # Perhaps by this request itself, whose answer was lost before it was repeated
            with suppress(FileNotFoundError):
                found = _Published.from_json(self._get(key), name, version)
                return found.upload == published.upload
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
            # A range of an empty object is an error
            rest: GetOptions = {"range": {"offset": offset}} if offset else {}
            try:
                with self._reaching():
                    found = obstore.get(self._downloads, key, options=rest)
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

    def _delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            with suppress(FileNotFoundError), self._reaching():
                obstore.delete(self._objects, key)

    def _discard(self, keys: Iterable[str]) -> None:
        """Delete files that nothing names; what cannot be deleted stays, and counts as used."""
        for key in keys:
            with suppress(StoreError):
                self._delete([key])

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        """Translate errors. FileNotFoundError and AlreadyExistsError are the caller's."""
        try:
            yield
        except AlreadyExistsError:
            raise
        except (PermissionDeniedError, UnauthenticatedError) as error:
            message = f"the model store {self._url} refuses the request: {_reason(error)}"
            advice = "check its credentials, and that they may list, read, write and delete"
            raise StoreError(ErrorCode.MODEL_STORE_UNAVAILABLE, f"{message}; {advice}") from error
        except BaseError as error:
            message = f"the model store {self._url} cannot be reached: {_reason(error)}"
            raise StoreError(ErrorCode.MODEL_STORE_UNAVAILABLE, message) from error


def _other_size(file: File, size: int) -> str:
    return f"{file.path}: {size} bytes, published with {file.size}"


def _key(name: str, version: int) -> str:
    return f"versions/{name}/{version}{_ENDING}"


def _reason(error: BaseException) -> str:
    """Return what happened, without addresses, and without the dump of attempts behind it."""
    lines = str(error).strip().splitlines() or [repr(error)]
    return _ADDRESS.sub("its endpoint", lines[0])[:300]
