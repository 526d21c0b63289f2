"""A gateway with a private model, its owner, and others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from gateway.auth.identity import Role
from gateway.settings import Settings
from gateway.storage.tables import Profile
from tests import onnx_models
from tests.gateway.served_gateway import CREDENTIALS, Caller, ServedGateway
from tests.timing import TIMEOUT_SECONDS

MODELS, SERVERS, FLOWS = "/node/models/", "/node/inference-servers/", "/node/flows/"
DEPLOYMENTS = "/node/deployments/"
PRIVATE = "vault"
_RAW = {"content-type": "application/octet-stream"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivateModel:
    """A gateway with a private model of Ada's, a member, that has an inference server."""

    gateway: ServedGateway
    ada: Profile
    owner: Caller
    server_id: str
    file: bytes

    async def others(self, name: str = "eve") -> list[Caller]:
        """Return another member with each credential."""
        user = await self.gateway.user(f"{name}@example.com", Role.MEMBER)
        return [await self.gateway.caller(user, each) for each in CREDENTIALS]

    async def member(self) -> httpx.AsyncClient:
        """Return another member's client."""
        user = await self.gateway.user("bob@example.com", Role.MEMBER)
        return (await self.gateway.caller(user, "manage key")).client

    async def set_visibility(self, visibility: str) -> dict[str, Any]:
        """Change the model, and wait until this gateway knows; return the answer. Any: JSON."""
        answer = await self.owner.client.patch(
            f"{MODELS}{PRIVATE}/", json={"visibility": visibility}
        )
        assert answer.status_code == 200, answer.text
        await self.until_private(visibility == "private")
        changed: dict[str, Any] = answer.json()
        return changed

    async def until_private(self, private: bool, gateway: ServedGateway | None = None) -> None:
        """Wait until a gateway, by default this one, knows whether the model is private."""
        servers = (gateway or self.gateway).container.servers
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while (PRIVATE in servers.private) != private:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)


@asynccontextmanager
async def following_gateway(settings: Settings) -> AsyncIterator[ServedGateway]:
    """Serve a gateway that hears of changes."""
    gateway = ServedGateway(settings)
    await gateway.open(follows=True)
    gateway.container.watcher.start()
    await gateway.container.watcher.loaded.wait()
    yield gateway
    await gateway.container.watcher.stop()
    await gateway.close()


async def publish_private_model(gateway: ServedGateway, folder: Path) -> PrivateModel:
    """Have Ada publish the model, and request its inference server."""
    ada = await gateway.user("ada@example.com", Role.MEMBER)
    owner = await gateway.caller(ada, "manage key")
    file = onnx_models.identity(folder / "identity.onnx").read_bytes()
    await upload(owner.client, file)
    server = (await owner.client.post(SERVERS, json={"model": PRIVATE})).json()
    made = PrivateModel(gateway=gateway, ada=ada, owner=owner, server_id=server["id"], file=file)
    await made.until_private(True)
    return made


async def upload(client: httpx.AsyncClient, file: bytes, **params: str) -> httpx.Response:
    """Publish a version."""
    named = {"name": PRIVATE, **params}
    return await client.post(MODELS, params=named, content=file, headers=_RAW)
