"""A plain key is shown once, at its creation; all responses, files and rows are searched.

The middle of each key is searched for, which masked keys do not contain.
"""

from __future__ import annotations

import asyncio
import base64
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import tritonclient.grpc as triton_grpc
from sqlalchemy import text
from tritonclient.utils import InferenceServerException

from gateway.storage.database import Database
from gateway.storage.run_tables import RunRow
from tests import onnx_models
from tests.gateway.databases import PostgresDatabase
from tests.slipstream.running import Up
from tests.system.installation import Installation, chain
from tests.system.one_installation.test_triton_clients import tensors
from tests.timing import pause

KEYS = "/node/api-keys/"
GOOD = {"input_data": {"x": [[1, 2, 3, 4]]}}
BAD = {"input_data": {"x": "nothing"}}
FLUSHED_SECONDS = 3.0


@pytest.fixture(params=["sqlite", "postgresql"])
def verbose_installation(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Installation]:
    """An installation with the most verbose logging."""
    postgresql = PostgresDatabase() if request.param == "postgresql" else None
    extra = {"SLIPSTREAM_LOG_LEVEL": "debug", "SLIPSTREAM_CALL_LOG": "all"}
    if postgresql is not None:
        postgresql.create()
        extra["SLIPSTREAM_DATABASE_URL"] = postgresql.url
    up = Up(tmp_path / "state", "--workers", "2", **extra)
    try:
        up.until("documentation")
        yield Installation(up)
    finally:
        if postgresql is not None:
            up.process.poll() is None and up.stop()
            postgresql.drop()


class Keys:
    """A key in each possible state."""

    def __init__(self, installation: Installation, deployment: str) -> None:
        def make(**members: Any) -> Any:  # Any, throughout: JSON
            return installation.post(KEYS, {"name": "secret", **members})

        soon = datetime.now(UTC) + timedelta(seconds=1)
        good, off, old = make(), make(), make()
        brief = make(expires_at=soon.isoformat())
        scoped = installation.post(f"/node/deployments/{deployment}/api-keys/", {})
        new = installation.post(f"{KEYS}{old['id']}/rotate/", {})
        installation.post(f"{KEYS}{off['id']}/deactivate/", {})
        time.sleep(1)
        self.working: list[str] = [key["key"] for key in (good, scoped, old, new)]
        self.refused: list[str] = [key["key"] for key in (off, brief)]

    @property
    def all(self) -> list[str]:
        return self.working + self.refused


def call_every_api(
    installation: Installation, keys: Keys, deployments: list[str]
) -> Iterator[httpx.Response]:
    """Make valid and invalid calls with every key over every API; yield the responses."""
    mistyped = [f"{key[:-1]}{'ab'[key[-1] == 'a']}" for key in keys.working[:2]]
    client = httpx.Client(base_url=installation.up.url)
    for number, key in enumerate((*keys.all, *mistyped)):
        headers = {"Authorization": f"Bearer {key}"} if number % 2 else {"X-API-Key": key}
        for deployment in deployments:
            path = f"/node/deployment-trigger/{deployment}/"
            for body in (GOOD, BAD):
                yield client.post(path, json=body, headers=headers)
            yield client.post(f"{path}batch/", json={"items": [GOOD]}, headers=headers)
        yield client.post(path, content=f'{{"{key}": {key}', headers=headers)
        yield client.post(path, params={"key": key, "version": key}, headers=headers)
        yield client.post(f"/node/deployment-trigger/{key}/", json=GOOD, headers=headers)
        yield client.get(f"/node/flow-runs/{key}/", headers=headers)
        yield client.get("/node/flow-runs/", params={"cursor": key}, headers=headers)
        yield client.get(f"/v2/models/{key}", headers=headers)
        yield client.post("/v2/models/iris/infer", json={"inputs": [key]}, headers=headers)
        yield client.post(KEYS, json={"name": number, "key": key}, headers=headers)
        yield client.get(f"/{key}/", params={"api_key": key}, headers=headers)
        yield client.put(f"/v2/models/{key}", headers=headers)
        yield client.put(f"/node/flow-runs/{key}/", headers=headers)
    for key in keys.all:  # as its owner may send it by mistake
        yield installation.http.get(f"{KEYS}{key}/")
        yield installation.http.post(KEYS, json={"name": "x", "deployments": [key]})
        yield installation.http.post(KEYS, json={"name": "x", "unknown": {"deep": key}})
    client.close()


def call_grpc(installation: Installation, keys: Keys) -> Iterator[str]:
    """Call over gRPC with every key; yield the error details."""
    address = f"127.0.0.1:{installation.up.grpc_port}"
    with triton_grpc.InferenceServerClient(address) as client:
        for key in keys.all:
            for model in ("mixed", "unknown", key):
                try:
                    client.infer(model, tensors(triton_grpc), headers={"x-api-key": key})
                except InferenceServerException as error:
                    yield str(error)


async def all_rows(url: str) -> str:
    """Return every row of every table, as text."""
    database = Database(url)
    found = []
    async with database.read() as session:
        for table in RunRow.metadata.sorted_tables:
            rows = await session.execute(text(f"SELECT * FROM {table.name}"))
            found += [repr(row) for row in rows]
    await database.close()
    return "\n".join(found)


def all_files(folder: Path) -> dict[str, bytes]:
    """Return all files, including the database and its log."""
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.long
def test_a_plain_key_is_stored_and_logged_nowhere(
    verbose_installation: Installation, tmp_path: Path
) -> None:
    up = verbose_installation.up
    verbose_installation.add_model("mixed", onnx_models.mixed(tmp_path / "mixed.onnx"))
    verbose_installation.serve("mixed")
    deployments = [
        verbose_installation.deploy(chain("iris")),
        verbose_installation.deploy(chain("iris"), execution_mode="sync", deployment_type="server"),
        verbose_installation.deploy(chain("iris"), execution_mode="sync", timeout_seconds=30),
        verbose_installation.deploy(chain("iris"), execution_mode="async"),
    ]
    keys = Keys(verbose_installation, deployments[0])
    (demo,) = set(re.findall(r"sk-[0-9A-Za-z]{46}", "".join(up.output)))

    answers = list(call_every_api(verbose_installation, keys, deployments))
    assert {200, 202, 400, 401, 404, 405, 422} <= {answer.status_code for answer in answers}
    responses = [answer.text + repr(answer.headers) for answer in answers]
    responses += call_grpc(verbose_installation, keys)
    responses += [
        verbose_installation.http.get(KEYS).text,
        verbose_installation.http.get("/metrics").text,
    ]
    responses += [verbose_installation.http.get("/node/flow-runs/", params={"limit": 200}).text]
    pause(FLUSHED_SECONDS)

    places = {"answers": "\n".join(responses).encode(), **all_files(up.state)}
    url = up.extra.get("SLIPSTREAM_DATABASE_URL", f"sqlite:///{up.state}/slipstream.db")
    places["rows"] = asyncio.run(all_rows(url)).encode()
    places["processes"] = repr([child.cmdline() for child in up.children()]).encode()
    verbose_installation.stop()
    places |= {f"{path}, at rest": content for path, content in all_files(up.state).items()}
    places["stderr"] = Path(f"{up.state}.stderr").read_bytes()
    places["stdout"] = "".join(up.output).replace(demo, "").encode()
    assert b"api_key_invalid" in places["answers"]
    assert len(places["rows"]) > 10_000
    assert len(places["stderr"]) > 10_000
    for key in (*keys.all, verbose_installation.key, demo):
        secret = key[8:-5].encode()
        shapes = {secret, base64.b64encode(key.encode())[12:56], secret.hex().encode()}
        found = [name for name, content in places.items() for it in shapes if it in content]
        assert not found
