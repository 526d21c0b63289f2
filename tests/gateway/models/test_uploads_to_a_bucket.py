"""Uploads to gateways on different hosts, whose models are in one bucket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.auth.identity import Role
from gateway.settings import Settings
from gateway.storage.database import Database
from gateway.storage.tables import Model
from tests import onnx_models
from tests.gateway.private_model import MODELS, upload
from tests.gateway.served_gateway import ServedGateway
from tests.services.s3 import S3Server

pytestmark = pytest.mark.processes


@pytest.fixture
async def hosts(
    database: Database,
    url: str,
    tmp_path: Path,
) -> AsyncIterator[list[ServedGateway]]:
    """Gateways of two hosts."""
    server = S3Server(tmp_path)
    await asyncio.to_thread(server.start)
    opened = [
        ServedGateway(
            Settings(
                state=tmp_path / name,
                database_url=url,
                key_pepper="p" * 40,
                model_store="s3://models",
                model_store_options="\n".join(f"{k}={v}" for k, v in server.options.items()),
                failed_auth_per_minute=0,
            )
        )
        for name in ("first", "second")
    ]
    for gateway in opened:
        await gateway.open()
    yield opened
    for gateway in opened:
        await gateway.close()
    server.end()


async def test_an_upload_to_one_host_is_there_on_the_other(
    hosts: list[ServedGateway], tmp_path: Path
) -> None:
    ada = await hosts[0].user("ada@example.com", Role.ADMIN)
    first, second = [(await host.caller(ada, "manage key")).client for host in hosts]
    file = onnx_models.mlp(tmp_path / "mlp.onnx").read_bytes()
    assert (await upload(first, file, name="mlp")).json()["version"] == 1
    assert (await upload(second, file, name="mlp")).json()["version"] == 2
    await second.put(f"{MODELS}mlp/labels/stable/", json={"version": 1})
    assert (await first.get(f"{MODELS}mlp/")).json()["labels"] == {"stable": 1}
    assert (await second.get(f"{MODELS}mlp/versions/stable/")).json()["version"] == 1
    assert [each["name"] for each in (await second.get(MODELS)).json()["items"]] == ["mlp"]


async def test_of_two_first_uploads_of_a_name_to_two_hosts_one_succeeds(
    hosts: list[ServedGateway], database: Database, tmp_path: Path
) -> None:
    users = [await hosts[0].user(f"{name}@example.com", Role.MEMBER) for name in ("ada", "bob")]
    clients = [
        (await host.caller(user, "manage key")).client
        for host, user in zip(hosts, users, strict=True)
    ]
    file = onnx_models.mlp(tmp_path / "mlp.onnx").read_bytes()
    answers = await asyncio.gather(*(upload(each, file, name="race") for each in clients))
    assert sorted(answer.status_code for answer in answers) == [201, 409]
    (winner,) = [at for at, answer in enumerate(answers) if answer.status_code == 201]
    async with database.read() as session:
        row = await session.get(Model, "race")
    assert row is not None
    assert row.owner_id == users[winner].id
    loser = 1 - winner
    assert (await clients[loser].get(f"{MODELS}race/")).status_code == 404, "it is private"
    again = await upload(clients[loser], file, name="race")
    assert again.status_code == 409
    assert (await clients[winner].get(f"{MODELS}race/")).json()["versions"] == [1]
