"""What a gateway decides by the headers of a request, before it reads the body."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import orjson
import pytest

from gateway.auth import keys
from gateway.auth.identity import Role, Scope
from gateway.fast_path import connection_timeouts
from gateway.settings import Settings
from gateway.storage.database import Database
from tests.gateway.fast_path.client import Client, chunked
from tests.gateway.in_process_gateway import flow_json
from tests.gateway.routes import routes_of
from tests.gateway.served_gateway import ServedGateway
from tests.timing import TIMEOUT_SECONDS

SIZE = 60 * 2**20
FLOWS, SESSION = "/node/flows/", "/node/session/"
TRIGGER = "/node/deployment-trigger/00000000-0000-4000-8000-000000000000/"
WITH_BODIES = (FLOWS, TRIGGER, "/v2/models/iris/infer")


def head(path: str, *lines: str, size: int = SIZE, method: str = "POST") -> bytes:
    """Return a request's head, which says that a body of `size` bytes follows."""
    named = [f"{method} {path} HTTP/1.1", "host: test", "content-type: application/json"]
    return "\r\n".join([*named, f"content-length: {size}", *lines, "", ""]).encode()


Connect = Callable[[ServedGateway], Awaitable[Client]]


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Connect to a gateway."""
    clients: list[Client] = []

    async def to(served_gateway: ServedGateway) -> Client:
        clients.append(await Client.to(served_gateway.port))
        return clients[-1]

    yield to
    for client in clients:
        await client.close()


async def manager(served_gateway: ServedGateway) -> str:
    """Return the header line of a new `manage` key."""
    user = await served_gateway.user("ada@example.com", Role.OWNER)
    issued = await served_gateway.services.keys.create(user.id, name="it", scope=Scope.MANAGE)
    return f"x-api-key: {issued.plain}"


async def test_every_route_with_a_body_refuses_unknown_callers_before_the_body(
    served_gateway: ServedGateway, connect: Connect
) -> None:
    asked = 0
    for route in routes_of(served_gateway.openapi()):
        if "requestBody" not in route.operation or not route.operation.get("security"):
            continue
        asked += 1
        path = re.sub(r"\{\w+\}", "00000000-0000-4000-8000-000000000000", route.path)
        for lines in ([], [f"x-api-key: {keys.generate_key()}"]):
            client = await connect(served_gateway)
            answer = await client.asked(head(path, *lines, method=route.method))
            assert (answer.status, answer.closes) == (401, True), (str(route), answer.body)
            assert await client.rest() == b"", str(route)
    assert asked > 20


@pytest.mark.parametrize("path", WITH_BODIES)
async def test_a_body_of_an_unknown_caller_is_neither_read_to_its_end_nor_buffered(
    served_gateway: ServedGateway,
    connect: Connect,
    path: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection_timeouts, "_LINGER_SECONDS", 0.3)
    client = await connect(served_gateway)
    client.writer.transport.set_write_buffer_limits(0)
    client.send(head(path, f"x-api-key: {keys.generate_key()}"))
    sent = 0
    try:
        while sent < SIZE:
            client.send(b"[" * 2**16)
            sent += 2**16
            await client.writer.drain()
    except ConnectionError:
        pass
    assert sent < SIZE // 2
    assert served_gateway.clients.bodies.used == 0


@pytest.fixture
async def strict(database: Database, settings: Settings) -> AsyncIterator[ServedGateway]:
    """A gateway that blocks addresses after two failures a minute."""
    opened = ServedGateway(settings.model_copy(update={"failed_auth_per_minute": 2}))
    await opened.open()
    yield opened
    await opened.close()


WRONG = (f"x-api-key: {keys.generate_key()}",)
OTHER_WRONG = (f"authorization: Bearer {keys.generate_key()}",)


@pytest.mark.parametrize("path", WITH_BODIES)
@pytest.mark.parametrize("first", [(), WRONG, OTHER_WRONG])
async def test_missing_and_wrong_keys_count_alike_and_once(
    strict: ServedGateway, connect: Connect, path: str, first: Sequence[str]
) -> None:
    answers = [
        await (await connect(strict)).asked(head(path, *lines)) for lines in (first, (), WRONG, ())
    ]
    assert [answer.status for answer in answers] == [401, 401, 429, 429]


async def test_a_missing_session_counts_as_well(strict: ServedGateway) -> None:
    client = strict.client()
    assert [(await client.get(SESSION)).status_code for _ in range(3)] == [401, 401, 429]


async def test_a_valid_key_is_counted_as_one_use(served_gateway: ServedGateway) -> None:
    user = await served_gateway.user("ada@example.com", Role.OWNER)
    client = await served_gateway.key_client(user, Scope.MANAGE)
    for _ in range(3):
        assert (await client.post(FLOWS, json=flow_json())).status_code == 201
    (listed,) = (await client.get("/node/api-keys/")).json()["items"]
    await served_gateway.container.key_usage.flush()
    (shown,) = (await client.get("/node/api-keys/")).json()["items"]
    assert listed["id"] == shown["id"]
    assert shown["total_uses"] == 4


@pytest.mark.parametrize(
    ("path", "limit"), [("/node/api-keys/", 2**20), (FLOWS, 4 * 2**20), (SESSION, 4 * 2**10)]
)
async def test_routes_have_limits_of_their_own(
    served_gateway: ServedGateway, connect: Connect, path: str, limit: int
) -> None:
    key = await manager(served_gateway)
    client = await connect(served_gateway)
    answer = await client.asked(head(path, key, size=limit + 1))
    assert (answer.status, answer.closes) == (413, True)
    assert orjson.loads(answer.body)["code"] == "payload_too_large"
    assert await client.rest() == b""
    body = b" " * limit
    answer = await (await connect(served_gateway)).asked(head(path, key, size=limit), body)
    assert answer.status == 400, "no document"


async def test_a_chunked_body_without_an_end_is_refused_at_its_limit(
    served_gateway: ServedGateway, connect: Connect
) -> None:
    key = (await manager(served_gateway)).encode()
    endless = chunked(b"/node/api-keys/", bytes(2**20), b"x")[:-5]
    request = endless.replace(b"host:", key + b"\r\ncontent-type: application/json\r\nhost:", 1)
    client = await connect(served_gateway)
    answer = await client.asked(request)
    assert (answer.status, answer.closes) == (413, True)
    assert await client.rest() == b""


async def test_an_upload_is_not_limited_and_not_counted_as_memory(
    served_gateway: ServedGateway, connect: Connect
) -> None:
    key = await manager(served_gateway)
    client = await connect(served_gateway)
    request = head("/node/models/?name=x", key, size=5 * 2**20)
    client.send(request.replace(b"application/json", b"application/octet-stream"), bytes(2**20))
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while not (bodies := served_gateway.clients.bodies)._by_address:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.01)
    client.send(bytes(3 * 2**20))
    await client.writer.drain()
    async with asyncio.timeout(
        TIMEOUT_SECONDS
    ):  # until the route reads it: 4 MiB would be counted for good
        while bodies.used:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.01)
    answer = await client.asked(bytes(2**20))
    assert answer.status == 422, "no model"
    assert not bodies._by_address
