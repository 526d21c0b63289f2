"""What every store does, wherever its models are."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from model_store.bucket_store import BucketStore
from model_store.cache import VersionCache
from model_store.errors import StoreError
from model_store.folder_store import FolderStore
from model_store.names import MODEL_FILE
from model_store.store import ModelStore
from model_store.verification import Verifier
from protos.errors import ErrorCode
from tests import onnx_models
from tests.model_store.conftest import COMMAND
from tests.services.azure import AzureServer
from tests.services.s3 import S3Server
from tests.timing import TIMEOUT_SECONDS

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("s3")]

Publish = Callable[..., int]


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """An S3 server."""
    server = S3Server(tmp_path_factory.mktemp("s3"))
    server.start()
    yield server
    server.end()


@pytest.fixture(scope="module")
def az(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzureServer]:
    """An Azure Blob server."""
    server = AzureServer(tmp_path_factory.mktemp("azure"))
    server.start()
    yield server
    server.end()


@pytest.fixture(
    params=[
        "folder",
        "s3",
        pytest.param("az", marks=[pytest.mark.services, pytest.mark.timeout(400)]),
    ]
)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ModelStore:
    """An empty store of each kind."""
    if request.param == "folder":
        return FolderStore(tmp_path / "store")
    server: S3Server | AzureServer = request.getfixturevalue(request.param)
    cache = VersionCache(tmp_path / "cache", 2**30)
    return BucketStore(f"{request.param}://models/{uuid4().hex}", cache, server.options)


@pytest.fixture
def publish(store: ModelStore, verifier: Verifier) -> Publish:
    """Publishes a file as `mlp`; returns the version."""

    def published(model: Path, **options: Any) -> int:
        return store.publish(model, "mlp", verifier=verifier, **options).version

    return published


def test_a_published_version_can_be_fetched(
    store: ModelStore, tmp_path: Path, verifier: Verifier
) -> None:
    model = onnx_models.external_data(tmp_path / "large.onnx")
    manifest = store.publish(model, "large", verifier=verifier)
    assert store.manifest("large", 1) == manifest
    assert (list(store.names()), store.versions("large")) == (["large"], [1])
    assert store.size("large", 1) == store.manifest("large", 1).size
    assert store.size("large", 2) is None
    local = FolderStore(store.fetch("large", 1))
    assert local.find_changes("large", 1) == store.find_changes("large", 1) == []
    assert local.manifest("large", 1) == manifest
    verifier.inspect(local.folder("large", 1) / MODEL_FILE)


def test_the_file_of_a_model_is_there_without_its_version(
    store: ModelStore, tmp_path: Path, verifier: Verifier
) -> None:
    model = onnx_models.external_data(tmp_path / "large.onnx")
    store.publish(model, "large", verifier=verifier)
    with store.model_file("large", 1) as file:
        assert file.read_bytes() == model.read_bytes()
        beside = [path.name for path in file.parent.iterdir()]
    if store.is_remote:
        assert beside == [MODEL_FILE]
        assert not file.exists()
        assert list(store.root.rglob("*.source")) == [], "the version is not on this host"
    root = store.fetch("large", 1)
    with store.model_file("large", 1) as file:
        assert file == root / "large" / "1" / MODEL_FILE
    with pytest.raises(StoreError, match="no version 2"), store.model_file("large", 2):
        pass


def test_versions_are_numbered_and_immutable(
    store: ModelStore, publish: Publish, model: Path
) -> None:
    assert [publish(model), publish(model), publish(model, version=7)] == [
        1,
        2,
        7,
    ]
    assert publish(model) == 8
    with pytest.raises(StoreError, match="version 2 of 'mlp' exists") as refusal:
        publish(model, version=2)
    assert refusal.value.code is ErrorCode.CONFLICT
    assert store.versions("mlp") == [1, 2, 7, 8]


def test_labels_are_set_moved_and_deleted(store: ModelStore, publish: Publish, model: Path) -> None:
    publish(model)
    publish(model)
    store.set_label("mlp", "stable", 1)
    store.set_label("mlp", "canary", 2)
    assert store.labels("mlp") == {"canary": 2, "stable": 1}
    store.set_label("mlp", "stable", 2)
    assert [store.resolve("mlp", spec) for spec in ("stable", "latest", "1")] == [2, 2, 1]
    store.delete_label("mlp", "stable")
    assert store.labels("mlp") == {"canary": 2}
    with pytest.raises(StoreError, match="no label 'stable'; it has 1, 2, canary"):
        store.delete_label("mlp", "stable")
    with pytest.raises(StoreError, match="no version 3"):
        store.set_label("mlp", "stable", 3)


def test_a_removed_version_is_gone_and_its_number_is_not_assigned_again(
    store: ModelStore, publish: Publish, model: Path
) -> None:
    publish(model)
    publish(model)
    store.set_label("mlp", "stable", 2)
    with pytest.raises(StoreError, match="labelled stable") as refusal:
        store.remove("mlp", 2)
    assert refusal.value.code is ErrorCode.CONFLICT
    store.delete_label("mlp", "stable")
    store.remove("mlp", 2)
    assert store.versions("mlp") == [1]
    assert publish(model) == 3
    for ask in (store.manifest, store.fetch, store.remove, store.find_changes):
        with pytest.raises(StoreError, match="no version 2; it has 1, 3") as missing:
            ask("mlp", 2)
        assert missing.value.code is ErrorCode.NOT_FOUND
    assert publish(model, version=2) == 2


def test_an_empty_store_has_nothing(store: ModelStore) -> None:
    assert (list(store.names()), store.versions("mlp"), store.labels("mlp")) == ([], [], {})
    assert store.usage().total_bytes == 0
    with pytest.raises(StoreError, match="there is no model 'mlp'"):
        store.resolve("mlp")
    with pytest.raises(StoreError, match="model name"):
        store.versions("../mlp")


def test_the_usage_is_that_of_each_owner(store: ModelStore, publish: Publish, model: Path) -> None:
    publish(model, owner="ada")
    publish(model, owner="ada")
    publish(model)
    size = model.stat().st_size
    usage = store.usage()
    assert usage.total_bytes == 3 * size
    assert {who: (each.size, each.versions) for who, each in usage.by_owner.items()} == {
        "ada": (2 * size, 2)
    }
    store.remove("mlp", 1)
    assert store.usage().by_owner["ada"].size == size


def test_what_is_refused_last_leaves_nothing(
    store: ModelStore, publish: Publish, model: Path
) -> None:
    def refuse() -> None:
        message = "no"
        raise PermissionError(message)

    with pytest.raises(PermissionError):
        publish(model, admit=refuse)
    broken = model.with_name("broken.onnx")
    broken.write_bytes(b"not a model")
    with pytest.raises(StoreError):
        publish(broken)
    assert (list(store.names()), store.usage().total_bytes) == ([], 0)
    with store.upload_folder() as folder:
        assert [path.name for path in folder.parent.iterdir()] == [folder.name]


@pytest.mark.parametrize(("version", "expected"), [(1, [1, ErrorCode.CONFLICT]), (None, [1, 2])])
def test_two_publish_at_once(
    store: ModelStore, model: Path, version: int | None, expected: list[object]
) -> None:
    together = threading.Barrier(2)
    asked = count()
    outcomes: list[object] = []

    def admit() -> None:
        if next(asked) < 2 and store.is_remote:  # where it does, the other one waits already
            together.wait(TIMEOUT_SECONDS)

    def publish_one() -> None:
        try:
            published = store.publish(
                model, "mlp", verifier=Verifier(COMMAND), version=version, admit=admit
            )
            outcomes.append(published.version)
        except StoreError as refusal:
            outcomes.append(refusal.code)

    publishers = [threading.Thread(target=publish_one) for _ in range(2)]
    for publisher in publishers:
        publisher.start()
    for publisher in publishers:
        publisher.join()
    assert sorted(outcomes, key=str) == expected
    published = len(store.versions("mlp"))
    assert store.usage().total_bytes == published * model.stat().st_size, "nothing is left behind"
