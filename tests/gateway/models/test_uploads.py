"""Uploads have limits: of bytes, of the store, of each user, and of verifications at once."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from structlog.testing import capture_logs

from gateway.auth.identity import Role, Scope
from gateway.settings import Settings
from gateway.storage import disk_space
from model_store.verification import Verifier
from tests import onnx_models
from tests.gateway.fast_path.client import Client
from tests.gateway.in_process_gateway import InProcessGateway
from tests.gateway.served_gateway import ServedGateway
from tests.timing import TIMEOUT_SECONDS

MODELS = "/node/models/"
RAW = {"content-type": "application/octet-stream"}
FORM = {"content-type": "multipart/form-data; boundary=cut"}
FORM_HEAD = b'--cut\r\nContent-Disposition: form-data; name="file"; filename="m"\r\n\r\n'
MIB = 1 << 20

Open = Callable[..., Awaitable[InProcessGateway]]


@pytest.fixture
async def gateway_with(settings: Settings) -> AsyncIterator[Open]:
    """Opens a gateway with other settings."""
    opened: list[InProcessGateway] = []

    async def open_one(**changes: Any) -> InProcessGateway:
        opened.append(InProcessGateway(settings.model_copy(update=changes)))
        return opened[-1]

    yield open_one
    for one in opened:
        await one.close()


@pytest.fixture
def file(tmp_path: Path) -> bytes:
    """A valid model file."""
    return onnx_models.identity(tmp_path / "identity.onnx").read_bytes()


def staged(settings: Settings) -> list[Path]:
    """Return the files of uploads that are not published."""
    return [path for path in (settings.state / "models" / ".staging").rglob("*") if path.is_file()]


class Endless:
    """A body that never ends; `sent` is how much of it was taken."""

    def __init__(self, head: bytes = b"") -> None:
        self.sent = 0
        self._head = head

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._head
        while True:
            self.sent += MIB
            yield bytes(MIB)


async def test_a_declared_size_over_the_limit_is_refused_unread(gateway_with: Open) -> None:
    user = await (await gateway_with()).user()
    body = Endless()
    headers = {**RAW, "content-length": str(10 << 40)}
    answer = await user.post(MODELS, params={"name": "x"}, content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")
    assert "SLIPSTREAM_MAX_UPLOAD_BYTES" in answer.json()["message"]
    assert answer.headers["connection"] == "close"
    assert body.sent == 0


@pytest.mark.parametrize(("headers", "head"), [(RAW, b""), (FORM, FORM_HEAD)])
async def test_an_undeclared_size_is_cut_at_the_limit(
    gateway_with: Open, settings: Settings, headers: dict[str, str], head: bytes
) -> None:
    user = await (await gateway_with(max_upload_bytes=4 * MIB)).user()
    body = Endless(head)
    answer = await user.post(MODELS, params={"name": "x"}, content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")
    assert body.sent <= 6 * MIB
    assert staged(settings) == []


async def test_only_uploads_may_be_larger_than_other_bodies(gateway_with: Open) -> None:
    user = await (await gateway_with(max_body_bytes=MIB)).user()
    label = await user.put(f"{MODELS}mlp/labels/stable/", content=bytes(2 * MIB))
    assert label.status_code == 413
    model = await user.post(MODELS, content=bytes(2 * MIB), headers=RAW, params={"name": "x"})
    assert model.status_code == 422


@pytest.mark.parametrize(("headers", "head"), [(RAW, b""), (FORM, FORM_HEAD)])
async def test_what_arrives_goes_to_the_disk_of_the_store(
    gateway_with: Open, settings: Settings, headers: dict[str, str], head: bytes
) -> None:
    user = await (await gateway_with()).user()
    sizes = []

    async def body() -> AsyncIterator[bytes]:
        yield head
        for _ in range(8):
            yield bytes(MIB)
        sizes.extend(path.stat().st_size for path in staged(settings))
        yield b"\r\n--cut--\r\n"

    answer = await user.post(MODELS, params={"name": "x"}, content=body(), headers=headers)
    assert answer.status_code == 422
    assert len(sizes) == 1
    assert sizes[0] >= 6 * MIB


async def test_uploads_stop_at_the_quota_of_the_store(
    gateway_with: Open, settings: Settings, file: bytes
) -> None:
    gateway = await gateway_with()
    used = gateway.services.store.usage().total_bytes
    gateway = await gateway_with(model_store_bytes=max(used + len(file), 1024))
    user = await gateway.user()

    async def upload() -> httpx.Response:
        return await user.post(MODELS, params={"name": "same"}, content=file, headers=RAW)

    assert (await upload()).status_code == 201
    refused = await upload()
    assert (refused.status_code, refused.json()["code"]) == (507, "storage_quota_exceeded")
    assert "SLIPSTREAM_MODEL_STORE_BYTES" in refused.json()["message"]
    assert staged(settings) == []
    assert (await user.delete(f"{MODELS}same/versions/1/")).status_code == 204
    assert (await upload()).status_code == 201


async def test_a_size_that_was_not_declared_counts_before_it_is_published(
    gateway_with: Open, file: bytes
) -> None:
    user = await (await gateway_with(user_model_bytes=1024)).user()

    async def body() -> AsyncIterator[bytes]:
        yield file + bytes(1024)

    answer = await user.post(MODELS, params={"name": "x"}, content=body(), headers=RAW)
    assert (answer.status_code, answer.json()["code"]) == (507, "storage_quota_exceeded")
    assert "SLIPSTREAM_USER_MODEL_BYTES" in answer.json()["message"]


async def test_each_user_has_a_quota_of_versions(gateway_with: Open, file: bytes) -> None:
    gateway = await gateway_with(user_model_versions=1)
    ada, bob = await gateway.user(), await gateway.user("bob@example.com")

    async def upload(user: httpx.AsyncClient) -> httpx.Response:
        return await user.post(MODELS, params={"name": "same"}, content=file, headers=RAW)

    assert (await upload(ada)).status_code == 201
    refused = await upload(ada)
    assert refused.status_code == 507
    assert "SLIPSTREAM_USER_MODEL_VERSIONS" in refused.json()["message"]
    assert (await upload(bob)).status_code == 201
    assert (await ada.delete(f"{MODELS}same/versions/1/")).status_code == 204
    assert (await upload(ada)).status_code == 201


async def test_the_first_upload_of_all_makes_the_store(
    gateway_with: Open, tmp_path: Path, file: bytes
) -> None:
    user = await (await gateway_with(state=tmp_path / "new")).user()
    answer = await user.post(MODELS, params={"name": "first"}, content=file, headers=RAW)
    assert answer.status_code == 201


class Disk(NamedTuple):
    """What the operating system says about a disk, in bytes."""

    total: int
    used: int
    free: int


async def test_uploads_leave_some_of_the_disk_free(
    gateway_with: Open, settings: Settings, file: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = await (await gateway_with()).user()
    nearly_full = Disk(total=100 << 30, used=99 << 30, free=(1 << 30) + 3 * MIB)
    database = Disk(total=100 << 30, used=50 << 30, free=50 << 30)
    monkeypatch.setattr(
        disk_space.shutil,
        "disk_usage",
        lambda path: nearly_full if path.is_relative_to(settings.state) else database,
    )
    fits = await user.post(MODELS, params={"name": "x"}, content=file, headers=RAW)
    assert fits.status_code == 201
    declared = await user.post(MODELS, params={"name": "x"}, content=bytes(4 * MIB), headers=RAW)
    assert (declared.status_code, declared.json()["code"]) == (507, "storage_quota_exceeded")
    assert staged(settings) == []


class HeldVerifier:
    """A verifier whose children wait until it is released."""

    def __init__(self, folder: Path) -> None:
        self._started, self._release_file = folder / "started", folder / "release"
        script = (
            f"echo >> {self._started}; until [ -e {self._release_file} ]; do sleep 0.02; done; "
            f'exec {sys.executable} -m inference_server.runtime.verify "$@"'
        )
        self.verifier = Verifier(["sh", "-c", script, "sh"])

    def release(self) -> None:
        self._release_file.touch()

    def started(self) -> int:
        """Return how many verifications have begun."""
        return len(self._started.read_text()) if self._started.exists() else 0


@pytest.fixture
def held(tmp_path: Path) -> Iterator[HeldVerifier]:
    """A verifier that waits, and is released at the end whatever happens: no process is left."""
    made = HeldVerifier(tmp_path)
    yield made
    made.release()


async def test_a_client_that_leaves_is_no_error_of_the_gateway(
    served_gateway: ServedGateway, settings: Settings
) -> None:
    user = await served_gateway.user("ada@example.com", Role.OWNER)
    issued = await served_gateway.services.keys.create(user.id, name="it", scope=Scope.MANAGE)
    client = await Client.to(served_gateway.port)
    with capture_logs() as logs:
        client.send(
            b"POST /node/models/?name=left HTTP/1.1\r\nhost: test\r\ncontent-length: %d\r\n" % MIB,
            b"content-type: application/octet-stream\r\n",
            f"x-api-key: {issued.plain}\r\n\r\npart".encode(),
        )
        await until(lambda: bool(staged(settings)))
        client.abort()
        await until(lambda: not staged(settings))
        await served_gateway.close()
    assert [entry for entry in logs if entry["log_level"] == "error"] == []


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_verifications_wait_for_each_other_and_nothing_waits_for_them(
    gateway_with: Open, file: bytes, held: HeldVerifier
) -> None:
    gateway = await gateway_with()
    gateway.services.models._verifier = held.verifier
    ada, bob = await gateway.user(), await gateway.user("bob@example.com")

    async def upload(user: httpx.AsyncClient) -> httpx.Response:
        return await user.post(MODELS, params={"name": "same"}, content=file, headers=RAW)

    uploads = [asyncio.create_task(upload(ada)) for _ in range(10)]
    await until(lambda: sum(task.done() for task in uploads) == 6 and held.started() == 1)
    refused = [task.result() for task in uploads if task.done()]
    assert {answer.status_code for answer in refused} == {429}
    assert {answer.json()["code"] for answer in refused} == {"overloaded"}
    assert int(refused[0].headers["retry-after"]) > 0
    others = asyncio.create_task(upload(bob))
    listed = await asyncio.wait_for(ada.get(MODELS), TIMEOUT_SECONDS)
    assert listed.status_code == 200
    assert held.started() == 1
    held.release()
    answers = [await task for task in (*uploads, others)]
    assert sorted(answer.status_code for answer in answers) == [*[201] * 5, *[429] * 6]
