"""Versions of a bucket on this host's disk."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from model_store.cache import VersionCache
from model_store.errors import StoreError
from model_store.folder_store import FolderStore
from model_store.manifest import File, Manifest
from protos.errors import ErrorCode
from tests.timing import TIMEOUT_SECONDS

CONTENT = os.urandom(3_000_000)
OLD = 3600


def manifest(version: int = 1, content: bytes = CONTENT, path: str = "model.onnx") -> Manifest:
    sha256 = hashlib.sha256(content).hexdigest()
    return Manifest(
        name="mlp",
        version=version,
        created_at="2026-01-01T00:00:00+00:00",
        sha256=sha256,
        files=(File(path=path, sha256=sha256, size=len(content)),),
        inputs=(),
        outputs=(),
        unsupported_inputs={},
        unsupported_outputs={},
        opset={},
        ir_version=10,
        producer="",
    )


class Remote:
    """What is read: counts the bytes, and fails after `fails_after` of them."""

    def __init__(self, content: bytes = CONTENT, fails_after: int | None = None) -> None:
        self.content = content
        self.fails_after = fails_after
        self.offsets: list[int] = []

    def read(self, _: File, offset: int) -> Iterator[memoryview]:
        self.offsets.append(offset)
        sent = 0
        for start in range(offset, len(self.content), 100_000):
            if self.fails_after is not None and sent >= self.fails_after:
                raise StoreError(ErrorCode.MODEL_STORE_UNAVAILABLE, "the connection broke")
            yield memoryview(self.content)[start : start + 100_000]
            sent += 100_000


def go_on() -> None:
    """Nothing ends the wait for another process."""


@pytest.fixture
def cache(tmp_path: Path) -> VersionCache:
    return VersionCache(tmp_path / "cache", 10_000_000)


def age(cache: VersionCache, version: int, seconds: float) -> None:
    """Have a version last used some time ago."""
    source = cache.root / "mlp" / f"{version}.source"
    os.utime(source, (time.time() - seconds,) * 2)


def versions(cache: VersionCache) -> list[int]:
    return FolderStore(cache.root).versions("mlp")


def test_a_version_is_read_once(cache: VersionCache) -> None:
    remote = Remote()
    for _ in range(2):
        cache.provide(manifest(), "upload", remote.read, go_on)
    assert remote.offsets == [0]
    assert cache.has("mlp", 1)
    assert FolderStore(cache.root).find_changes("mlp", 1) == []
    assert (FolderStore(cache.root).folder("mlp", 1) / "model.onnx").read_bytes() == CONTENT


def test_another_upload_of_the_same_version_replaces_it(cache: VersionCache) -> None:
    cache.provide(manifest(), "first", Remote().read, go_on)
    other = b"other" * 1000
    cache.provide(manifest(content=other), "second", Remote(other).read, go_on)
    assert (cache.root / "mlp" / "1" / "model.onnx").read_bytes() == other


def test_a_transfer_goes_on_where_it_broke(cache: VersionCache) -> None:
    remote = Remote(fails_after=1_000_000)
    with pytest.raises(StoreError, match="the connection broke"):
        cache.provide(manifest(), "upload", remote.read, go_on)
    assert not cache.has("mlp", 1)
    remote.fails_after = None
    cache.provide(manifest(), "upload", remote.read, go_on)
    assert remote.offsets == [0, 1_000_000]
    assert FolderStore(cache.root).find_changes("mlp", 1) == []


@pytest.mark.parametrize(
    "content",
    [CONTENT[:-1], CONTENT + b"x", bytes(len(CONTENT))],
    ids=["shorter", "longer", "other bytes"],
)
def test_other_content_is_refused_and_read_again(cache: VersionCache, content: bytes) -> None:
    remote = Remote(content)
    with pytest.raises(StoreError, match=r"model\.onnx in the model store is not what") as refusal:
        cache.provide(manifest(), "upload", remote.read, go_on)
    assert refusal.value.code is ErrorCode.INVALID_MODEL
    assert not cache.has("mlp", 1)
    remote.content = CONTENT
    cache.provide(manifest(), "upload", remote.read, go_on)
    assert remote.offsets == [0, 0]


@pytest.mark.parametrize("path", ["../escaped", "/escaped", "a/../../escaped", ".hidden"])
def test_a_manifest_does_not_lead_out_of_its_version(cache: VersionCache, path: str) -> None:
    with pytest.raises(StoreError, match="external data"):
        cache.provide(manifest(path=path), "upload", Remote().read, go_on)
    assert not list(cache.root.parent.rglob("*escaped*"))


def test_what_was_not_used_for_longest_is_evicted(cache: VersionCache) -> None:
    for version in (1, 2, 3):
        cache.provide(manifest(version), f"upload-{version}", Remote().read, go_on)
        age(cache, version, OLD - version)
    cache.provide(manifest(1), "upload-1", Remote().read, go_on)  # uses it
    cache.provide(manifest(4), "upload-4", Remote().read, go_on)
    assert versions(cache) == [1, 3, 4]


def test_what_was_used_just_now_is_not_evicted(cache: VersionCache) -> None:
    for version in (1, 2, 3, 4):
        cache.provide(manifest(version), f"upload-{version}", Remote().read, go_on)
    assert versions(cache) == [1, 2, 3, 4]


def test_a_damaged_beginning_is_read_again(cache: VersionCache) -> None:
    remote = Remote(fails_after=1_000_000)
    with pytest.raises(StoreError):
        cache.provide(manifest(), "upload", remote.read, go_on)
    (partial,) = (cache.root / ".partial").rglob("model.onnx")
    partial.write_bytes(bytes(1_000_000))
    remote.fails_after = None
    cache.provide(manifest(), "upload", remote.read, go_on)
    assert remote.offsets == [0, 1_000_000, 0]
    assert FolderStore(cache.root).find_changes("mlp", 1) == []


def test_what_is_being_used_is_noted(cache: VersionCache) -> None:
    for version in (1, 2, 3):
        cache.provide(manifest(version), f"upload-{version}", Remote().read, go_on)
        age(cache, version, OLD - version)
    cache.touch("mlp", 1)
    cache.provide(manifest(4), "upload-4", Remote().read, go_on)
    assert versions(cache) == [1, 3, 4]


def test_who_waits_for_another_process_can_give_up(cache: VersionCache) -> None:
    begun, ended = threading.Event(), threading.Event()

    def slow(_: File, __: int) -> Iterator[memoryview]:
        begun.set()
        assert ended.wait(TIMEOUT_SECONDS)
        yield memoryview(CONTENT)

    def give_up() -> None:
        raise StoreError(ErrorCode.MODEL_STORE_UNAVAILABLE, "the process ends")

    first = threading.Thread(target=cache.provide, args=(manifest(), "upload", slow, go_on))
    first.start()
    assert begun.wait(TIMEOUT_SECONDS)
    with pytest.raises(StoreError, match="the process ends"):
        VersionCache(cache.root, 1).provide(manifest(), "upload", slow, give_up)
    ended.set()
    first.join()
    assert cache.has("mlp", 1)


def test_one_of_several_processes_reads(tmp_path: Path) -> None:
    remote = Remote()
    caches = [VersionCache(tmp_path / "cache", 10_000_000) for _ in range(4)]
    threads = [
        threading.Thread(target=cache.provide, args=(manifest(), "upload", remote.read, go_on))
        for cache in caches
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert remote.offsets == [0]


def test_the_beginning_of_a_transfer_is_deleted_after_a_day(cache: VersionCache) -> None:
    with pytest.raises(StoreError):
        cache.provide(manifest(), "upload", Remote(fails_after=100_000).read, go_on)
    (partial,) = (cache.root / ".partial").iterdir()
    os.utime(partial, (time.time() - 100_000,) * 2)
    cache.provide(manifest(2), "upload-2", Remote().read, go_on)
    assert not partial.exists()
