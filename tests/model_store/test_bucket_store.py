"""A store in a bucket that is damaged, slow to answer, or away."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import obstore
import orjson
import pytest
from obstore.store import S3Store

from model_store import bucket_store
from model_store.bucket_store import BucketStore
from model_store.cache import VersionCache
from model_store.errors import StoreError
from model_store.folder_store import FolderStore
from model_store.locations import open_store, parse_options
from model_store.verification import Verifier
from protos.errors import ErrorCode
from tests import onnx_models
from tests.services.s3 import S3Server

pytestmark = pytest.mark.processes


class CuttingProxy:
    """Passes connections on to a server, and cuts each after `limit` bytes of its answers.

    Answers to requests that contain `unanswered` are lost.
    """

    def __init__(self, endpoint: str, limit: int, unanswered: bytes = b"") -> None:
        self.limit = limit
        self._unanswered = unanswered
        self._lost: set[socket.socket] = set()
        self.cuts = 0
        self._target = urlsplit(endpoint)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection((self._target.hostname, self._target.port))
                threading.Thread(target=self._pass, args=(client, server), daemon=True).start()
                threading.Thread(target=self._answer, args=(server, client), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if self._unanswered and self._unanswered in data:
                    self._lost.add(source)
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def _answer(self, source: socket.socket, sink: socket.socket) -> None:
        left = self.limit
        with suppress(OSError):
            while left > 0 and (data := source.recv(min(65536, left))):
                if sink in self._lost:
                    break
                sink.sendall(data)
                left -= len(data)
            self.cuts += not left
            sink.close()
            source.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """An S3 server, started by the first test that needs it."""
    server = S3Server(tmp_path_factory.mktemp("s3"))
    yield server
    server.stop()


@pytest.fixture
def s3(server: S3Server) -> Iterator[S3Server]:
    """The server with an empty bucket; the test may end and suspend it."""
    if not server.is_running:
        server.start()
    server.empty()
    yield server
    if server.is_running:
        server.resume()


@pytest.fixture(autouse=True)
def _impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up a server that hangs after 2 seconds, not 10."""
    for name in ("_QUESTION", "_DOWNLOAD"):
        patience = getattr(bucket_store, name)
        monkeypatch.setattr(bucket_store, name, patience._replace(answer=2, retry=2))


@pytest.fixture
def store(s3: S3Server, tmp_path: Path, verifier: Verifier) -> BucketStore:
    """A store whose only model has 8 MB of weights."""
    opened = BucketStore("s3://models/a/b", VersionCache(tmp_path / "own", 2**30), s3.options)
    model = onnx_models.heavy(tmp_path / "heavy.onnx", 8_000_000)
    opened.publish(model, "heavy", verifier=verifier)
    return opened


def other_host(s3: S3Server, tmp_path: Path, endpoint: str | None = None) -> BucketStore:
    options = s3.options | ({"endpoint": endpoint} if endpoint else {})
    return BucketStore("s3://models/a/b", VersionCache(tmp_path / "other", 2**30), options)


def keys(s3: S3Server) -> list[str]:
    """Return the keys of all objects."""
    bucket = S3Store("models", config=s3.options, client_options={"allow_http": True})
    return sorted(each["path"] for page in obstore.list(bucket) for each in page)


def overwrite(s3: S3Server, key: str, content: bytes) -> None:
    bucket = S3Store("models", config=s3.options, client_options={"allow_http": True})
    obstore.put(bucket, key, content)


def test_the_layout_is_the_documented_one(store: BucketStore, s3: S3Server) -> None:
    store.set_label("heavy", "stable", 1)
    data, label, version = keys(s3)
    assert data.startswith("a/b/data/heavy/_/")
    assert data.endswith("/model.onnx")
    assert (label, version) == ("a/b/labels/heavy/stable", "a/b/versions/heavy/1.json")
    store.delete_label("heavy", "stable")
    store.remove("heavy", 1)
    assert keys(s3) == ["a/b/removed/heavy/1"]


@pytest.mark.usefixtures("store")
def test_a_transfer_goes_on_over_broken_connections(s3: S3Server, tmp_path: Path) -> None:
    proxy = CuttingProxy(s3.endpoint, limit=5_000_000)
    other = other_host(s3, tmp_path, proxy.endpoint)
    local = FolderStore(other.fetch("heavy", 1))
    proxy.close()
    assert local.find_changes("heavy", 1) == []
    assert proxy.cuts >= 1, "the connection broke"


def test_damaged_files_are_found_and_not_served(
    store: BucketStore, s3: S3Server, tmp_path: Path
) -> None:
    data = keys(s3)[0]
    overwrite(s3, "a/b/data/notes.txt", b"not ours")
    overwrite(s3, "a/b/versions/read me.txt", b"not ours")
    assert list(store.names()) == ["heavy"]
    assert store.usage().by_owner == {}
    overwrite(s3, data, b"damaged")
    for read in (True, False):
        (change,) = store.find_changes("heavy", 1, read=read)
        assert change.startswith("model.onnx: 7 bytes, published with 8")
    with pytest.raises(StoreError, match="is not what was published") as refusal:
        other_host(s3, tmp_path).fetch("heavy", 1)
    assert refusal.value.code is ErrorCode.INVALID_MODEL


def damaged(store: BucketStore, s3: S3Server, **changes: object) -> bytes:
    """Return the last object of a version, with other values."""
    bucket = S3Store("models", config=s3.options, client_options={"allow_http": True})
    whole = orjson.loads(bytes(obstore.get(bucket, "a/b/versions/heavy/1.json").bytes()))
    for name, value in changes.items():
        (whole if name == "upload" else whole["manifest"])[name] = value
    assert store.versions("heavy") == [1]
    return orjson.dumps(whole)


@pytest.mark.parametrize(
    "changes",
    [
        {"version": "../../../victim"},
        {"version": 2},
        {"version": True},
        {"name": "../../victim"},
        {"name": "other"},
        {"upload": "data/heavy/_/../../victim"},
        {"upload": "data//x"},
        {"files": [{"path": 1, "sha256": "", "size": 1}]},
        {"files": [{"path": "model.onnx", "sha256": "", "size": "1"}]},
        {"files": [{"path": "../../victim", "sha256": "", "size": 1}]},
    ],
    ids=str,
)
def test_a_manifest_does_not_lead_elsewhere(
    store: BucketStore, s3: S3Server, tmp_path: Path, changes: dict[str, object]
) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "precious").touch()
    overwrite(s3, "a/b/versions/heavy/1.json", damaged(store, s3, **changes))
    with pytest.raises(StoreError) as refusal:
        other_host(s3, tmp_path).fetch("heavy", 1)
    assert refusal.value.code is ErrorCode.INVALID_MODEL
    assert (victim / "precious").exists()


def test_missing_files_are_damage(store: BucketStore, s3: S3Server, tmp_path: Path) -> None:
    bucket = S3Store("models", config=s3.options, client_options={"allow_http": True})
    obstore.delete(bucket, keys(s3)[0])
    assert store.find_changes("heavy", 1) == ["model.onnx: missing"]
    with pytest.raises(StoreError, match="are missing in the model store") as refusal:
        other_host(s3, tmp_path).fetch("heavy", 1)
    assert refusal.value.code is ErrorCode.INVALID_MODEL


@pytest.mark.long
@pytest.mark.usefixtures("store")
def test_a_version_whose_publication_was_not_confirmed_is_whole(
    s3: S3Server, tmp_path: Path, verifier: Verifier
) -> None:
    proxy = CuttingProxy(s3.endpoint, limit=10**9, unanswered=b"/versions/heavy/2.json")
    model = onnx_models.mlp(tmp_path / "mlp.onnx")
    with pytest.raises(StoreError) as lost:
        other_host(s3, tmp_path, proxy.endpoint).publish(model, "heavy", verifier=verifier)
    proxy.close()
    assert lost.value.code is ErrorCode.MODEL_STORE_UNAVAILABLE
    direct = other_host(s3, tmp_path)
    assert direct.versions("heavy") == [1, 2]
    assert direct.find_changes("heavy", 2) == []


@pytest.mark.long
def test_a_bucket_that_hangs_does_not_keep_what_is_here_from_being_served(
    store: BucketStore, s3: S3Server, tmp_path: Path
) -> None:
    other = other_host(s3, tmp_path)
    root = other.fetch("heavy", 1)
    s3.suspend()
    assert other.size("heavy", 1)
    assert other.fetch("heavy", 1) == root
    with pytest.raises(StoreError) as away:
        store.fetch("heavy", 1)
    assert away.value.code is ErrorCode.MODEL_STORE_UNAVAILABLE
    s3.resume()
    assert store.fetch("heavy", 1)


@pytest.mark.parametrize("document", [b"", b"{}", b"[]", b'{"upload": "x", "manifest": {}}'])
def test_a_damaged_manifest_is_reported(store: BucketStore, s3: S3Server, document: bytes) -> None:
    overwrite(s3, "a/b/versions/heavy/1.json", document)
    (change,) = store.find_changes("heavy", 1)
    assert "manifest is damaged" in change
    with pytest.raises(StoreError, match="manifest is damaged"):
        store.fetch("heavy", 1)


def test_without_the_bucket_what_was_fetched_is_served(
    store: BucketStore, s3: S3Server, tmp_path: Path
) -> None:
    other = other_host(s3, tmp_path)
    root = other.fetch("heavy", 1)
    s3.end()
    assert other.size("heavy", 1)
    assert other.fetch("heavy", 1) == root
    with pytest.raises(StoreError, match=r"model store s3://models/a/b cannot be reached") as away:
        store.fetch("heavy", 1)
    assert away.value.code is ErrorCode.MODEL_STORE_UNAVAILABLE
    assert "\n" not in away.value.message


def test_a_transfer_ends_with_its_process(store: BucketStore, s3: S3Server, tmp_path: Path) -> None:
    other = other_host(s3, tmp_path)
    other.close()
    with pytest.raises(StoreError, match="the next one goes on with the transfer"):
        other.fetch("heavy", 1)
    assert FolderStore(other_host(s3, tmp_path).fetch("heavy", 1)).find_changes("heavy", 1) == []


@pytest.mark.parametrize("option", ["unknown_option", "timeout"])
def test_unknown_options_are_refused(s3: S3Server, tmp_path: Path, option: str) -> None:
    options = s3.options | {option: "3"}
    with pytest.raises(StoreError, match="the model store s3://models: ") as refusal:
        BucketStore("s3://models", VersionCache(tmp_path, 1), options)
    assert refusal.value.code is ErrorCode.INVALID_REQUEST


@pytest.mark.parametrize("text", ["access_key_id", "a=1,secret", "a=1,a=2"])
def test_options_without_a_value_are_refused_and_not_shown(text: str) -> None:
    with pytest.raises(StoreError, match="expected name=value pairs") as refusal:
        parse_options(text)
    assert text not in refusal.value.message


def test_options_are_separated_by_commas_and_lines() -> None:
    assert parse_options(" a=1, b=x=y\nc=\n") == {"a": "1", "b": "x=y", "c": ""}


def test_a_file_url_is_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "with space"
    store = open_store(folder.as_uri(), options={}, cache=tmp_path / "cache", cache_bytes=1)
    assert store.root == folder
