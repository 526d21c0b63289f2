"""A run as server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from gateway.deployments.settings import ResponseFormat
from gateway.errors import GatewayError
from gateway.runs.event_stream import read_last_event_id, stream_run
from gateway.runs.run import RunResult, RunStatus
from gateway.runs.store import RunStore
from gateway.runs.waiter import RunWaiter
from gateway.storage.database import Database
from tests.gateway.runs.builders import claimed, new_run

pytestmark = pytest.mark.databases("sqlite", "postgresql")

NODES = b'{"a":{"status":"completed"},"b":{"status":"completed"},"c":{"status":"completed"}}'
ENDING = RunResult(status=RunStatus.COMPLETED, output_data=b'{"y":1}', node_outputs=NODES)
Event = dict[str, Any]  # Any: what the data holds


def parse(chunk: bytes) -> Event:
    """Return the fields of one event; a comment under an empty name."""
    fields = dict(line.split(": ", 1) for line in chunk.decode().strip().splitlines())
    return {**fields, "data": orjson.loads(fields["data"])} if "data" in fields else fields


async def rest(stream: AsyncIterator[bytes]) -> list[Event]:
    """Return all remaining events."""
    return [parse(chunk) async for chunk in stream]


@pytest.fixture
async def local(database: Database, store: RunStore) -> AsyncIterator[RunWaiter]:
    """The waiter of the process of `store`."""
    waiter = RunWaiter(database, store)
    waiter.start()
    yield waiter
    await waiter.stop()


async def opened(
    store: RunStore, waiter: RunWaiter, run_id: str, after: int = 0
) -> AsyncIterator[bytes]:
    """Return a run's event stream after its preamble."""
    run = await store.get(run_id)
    assert run is not None
    stream = stream_run(store, waiter, run, after, response_format=ResponseFormat.FLAT)
    assert parse(await anext(stream)) == {"retry": "1000"}
    return stream


async def test_a_run_is_streamed_from_queued_to_its_end(store: RunStore, local: RunWaiter) -> None:
    new = new_run()
    await store.create(new)
    stream = await opened(store, local, new.id)
    first = parse(await anext(stream))
    assert (first["event"], first["data"]["status"]) == ("status", "queued")
    await store.claim(new.id, "w")
    second = parse(await anext(stream))
    assert (second["event"], second["data"]["status"]) == ("status", "running")
    assert "id" not in second
    await store.report(new.id, 1, {"a": b'{"status":\n"completed"}'})
    node = parse(await anext(stream))
    assert (node["event"], node["id"]) == ("node", "1")
    assert node["data"] == {"node_id": "a", "node": {"status": "completed"}}
    await store.request_cancel(new.id)
    assert parse(await anext(stream))["data"]["status"] == "cancelling"
    await store.finish(new.id, 1, ENDING)
    *nodes, end = await rest(stream)
    assert [(one["id"], one["data"]["node_id"]) for one in nodes] == [("2", "b"), ("3", "c")]
    assert (end["event"], end["id"]) == ("completed", "end")
    assert end["data"]["output_data"] == {"y": 1}
    assert end["data"]["flow_run_id"] == new.id


@pytest.mark.parametrize("reported", [(), ("b",), ("a", "b", "c")])
async def test_a_reconnecting_client_gets_each_event_once(
    store: RunStore, local: RunWaiter, reported: tuple[str, ...]
) -> None:
    claim = await claimed(store)
    for node in reported:
        await store.report(claim.run_id, 1, {node: b"{}"})
    await store.finish(claim.run_id, 1, ENDING)
    everything = await rest(await opened(store, local, claim.run_id))
    assert [one["id"] for one in everything] == ["1", "2", "3", "end"]
    assert {one["data"]["node_id"] for one in everything[:-1]} == {"a", "b", "c"}
    for seen in (1, 2, 3):
        assert await rest(await opened(store, local, claim.run_id, seen)) == everything[seen:]


async def test_a_reconnecting_client_resumes_after_its_last_event(
    store: RunStore, local: RunWaiter
) -> None:
    claim = await claimed(store)
    await store.report(claim.run_id, 1, {"a": b"{}", "b": b"{}"})
    stream = await opened(store, local, claim.run_id, 1)
    node, status = parse(await anext(stream)), parse(await anext(stream))
    assert (node["id"], node["data"]["node_id"], status["event"]) == ("2", "b", "status")
    await store.report(claim.run_id, 1, {"c": b"{}"})
    assert parse(await anext(stream))["id"] == "3"
    await store.finish(claim.run_id, 1, ENDING)
    assert [one["id"] for one in await rest(stream)] == ["end"]


async def test_comments_are_sent_during_silence(store: RunStore, local: RunWaiter) -> None:
    claim = await claimed(store)
    run = await store.get(claim.run_id)
    assert run is not None
    stream = stream_run(store, local, run, 0, response_format=ResponseFormat.FLAT, heartbeat=0.01)
    await anext(stream)
    await anext(stream)
    assert await anext(stream) == b": nothing new\n\n"


async def test_a_stream_ends_when_its_process_drains(store: RunStore, local: RunWaiter) -> None:
    claim = await claimed(store)
    stream = await opened(store, local, claim.run_id)
    await anext(stream)
    ending = asyncio.create_task(rest(stream))
    await asyncio.sleep(0.02)
    local.drain()
    assert await ending == []


def test_foreign_event_ids_are_refused() -> None:
    assert [read_last_event_id(value) for value in (None, "", "0", "17", "end")] == [
        *(0, 0, 0, 17),
        None,
    ]
    for value in ("x", "-1", "1.5", "²", "9" * 20):
        with pytest.raises(GatewayError, match="Last-Event-ID"):
            read_last_event_id(value)
