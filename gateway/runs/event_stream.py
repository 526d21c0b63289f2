"""The progress of a run as server-sent events (HTML Living Standard, 9.2).

`status` events have the state of the run, `node` events a finished node. The last event is named
after the final state and contains the body of a poll, without `input_data` and names. Only node
events and the last event have an id: their order is fixed, so a client that reconnects with its
last id misses nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import orjson

from gateway.deployments.settings import ResponseFormat
from gateway.errors import GatewayError
from gateway.runs.responses import poll_body
from gateway.runs.run import Run
from gateway.runs.store import RunStore
from gateway.runs.waiter import RunWaiter
from protos.errors import ErrorCode

HEARTBEAT_SECONDS = 15.0
"""Silence after which a comment is sent, so that proxies do not close the connection."""
END_ID = "end"
_START = b"retry: 1000\n\n"
_HEARTBEAT = b": nothing new\n\n"
_MAX_DIGITS = 9


def read_last_event_id(value: str | None) -> int | None:
    """Return the number of the last event that the client has, or None if it has all.

    Raises:
        GatewayError: INVALID_REQUEST if the id is invalid.
    """
    if not value:
        return 0
    if value == END_ID:
        return None
    if not value.isascii() or not value.isdigit() or len(value) > _MAX_DIGITS:
        message = f"Last-Event-ID: expected an event id of this stream, got '{value[:40]}'"
        raise GatewayError(ErrorCode.INVALID_REQUEST, message)
    return int(value)


async def stream_run(
    store: RunStore,
    waiter: RunWaiter,
    run: Run,
    after: int,
    *,
    response_format: ResponseFormat,
    heartbeat: float = HEARTBEAT_SECONDS,
) -> AsyncIterator[bytes]:
    """Yield the events of a run after the one numbered `after`, until the run has ended.

    `response_format` is that of the last event, FLAT or ENVELOPE.
    Ends earlier if the process drains, or the run is deleted; clients then reconnect.
    """
    yield _START
    sent_status = None
    while True:
        for event in await store.events(run.id, after):
            yield _node(event.number, event.node_id, event.data)
            after = event.number
        if run.ended:
            async for node in _unreported(store, run, after):
                yield node
            body = poll_body(run, response_format)
            yield _event(run.shown_status, body, END_ID)
            return
        status = (run.shown_status, run.attempt)
        if status != sent_status:
            yield _event("status", _status(run))
            sent_status = status
        await waiter.change(run.id, run.mark, heartbeat, stop_on_drain=True)
        if waiter.draining:
            return
        found = await store.get(run.id)
        if found is None:
            return
        if found.mark == run.mark:
            yield _HEARTBEAT
        run = found


async def _unreported(store: RunStore, run: Run, after: int) -> AsyncIterator[bytes]:
    """Yield the nodes of an ended run that were not reported while it was running."""
    nodes = orjson.loads(run.node_outputs or b"{}")
    reported = {event.node_id for event in await store.events(run.id)}
    unreported = [node_id for node_id in nodes if node_id not in reported]
    for number, node_id in enumerate(unreported, run.event_count + 1):
        if number > after:
            yield _node(number, node_id, orjson.dumps(nodes[node_id]))


def _node(number: int, node_id: str, data: bytes) -> bytes:
    named = b'{"node_id":%b,"node":%b}' % (orjson.dumps(node_id), data)
    return _event("node", named, str(number))


def _status(run: Run) -> bytes:
    return orjson.dumps({"flow_run_id": run.id, "status": run.shown_status, "attempt": run.attempt})


def _event(name: str, data: bytes, event_id: str | None = None) -> bytes:
    """Return one event. `data` is JSON, in which line breaks can be replaced by spaces."""
    numbered = b"" if event_id is None else b"id: %b\n" % event_id.encode()
    line = data.replace(b"\r", b" ").replace(b"\n", b" ")
    return b"%bevent: %b\ndata: %b\n\n" % (numbered, name.encode(), line)
