"""Collects the final state over REST and from the database."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Set
from typing import TypeVar

import httpx

from tests.chaos.audit import Audit
from tests.chaos.call_log import Call, CallLog, Json
from tests.chaos.callers import Callers
from tests.chaos.checks import MAX_GAP_SECONDS, FinalState, disconnected_calls
from tests.chaos.environment import ChaosEnvironment
from tests.chaos.targets import Hostile

Item = TypeVar("Item")
Result = TypeVar("Result")

_AT_ONCE = 16
_TRIES = 20
_READY_SECONDS = 60.0
_REPLAYED_SECONDS = 60.0
_DELIVERED_SECONDS = 90.0
_PAUSE_SECONDS = 2.0


async def collect_final_state(
    environment: ChaosEnvironment,
    key: str,
    callers: Callers,
    audit: Audit,
    call_log: CallLog,
    *,
    hostile: Hostile,
    with_webhooks: Set[str],
) -> FinalState:
    """Wait until the installation is ready, repeat disconnected calls, and collect the state."""
    async with httpx.AsyncClient(
        base_url=environment.url, headers={"X-API-Key": key}, timeout=60
    ) as http:
        await _ready(http)
        broken = disconnected_calls(call_log)
        replays = await _gather(
            {call.key: call for call in broken},
            lambda call: _replay(callers, call),
        )
        await settle(audit.unfinished, _REPLAYED_SECONDS)
        await settle(audit.undelivered, _DELIVERED_SECONDS)
        by_key = await _gather(
            {call.key: call.key for call in broken}, lambda key: _runs_of_key(http, key)
        )
        seen = {call.final["flow_run_id"] for call in call_log.calls if call.final}
        shown = await _gather({run_id: run_id for run_id in seen}, lambda one: _show(http, one))
    gaps = call_log.longest_gaps(
        await audit.ends_of((hostile.expression, hostile.queued_expression))
    )
    return FinalState(
        rows=await audit.rows(),
        by_key=by_key,
        replays=replays,
        shown=shown,
        ended_twice=await audit.ended_twice(),
        max_overdue=audit.max_overdue,
        longest_gaps_of_callers=call_log.longest_gaps(()),
        longest_gaps=gaps,
        open_in_gap={
            pair: await audit.open_between(
                pair,
                call_log.began + gap.since,
                call_log.began + gap.since + gap.seconds + gap.outage_seconds,
                call_log.began,
            )
            for pair, gap in gaps.items()
            if gap.seconds > MAX_GAP_SECONDS
        },
        counted=environment.counter.all(),
        webhooks=_webhooks(environment),
        with_webhooks=with_webhooks,
    )


async def settle(
    count: Callable[[], Awaitable[int]],
    seconds: float,
    print_status: Callable[[str], None] | None = None,
) -> None:
    """Wait until `count` returns 0, at most for `seconds`."""
    end = time.monotonic() + seconds
    while (left := await count()) and time.monotonic() < end:
        if print_status:
            print_status(f"{left} runs have not ended yet")
        await asyncio.sleep(_PAUSE_SECONDS)


def _webhooks(environment: ChaosEnvironment) -> dict[str, set[str]]:
    found = defaultdict(set)
    for message in environment.receiver.messages():
        found[message.data["flow_run_id"]].add(message.data["status"])
    return dict(found)


async def _ready(http: httpx.AsyncClient) -> None:
    end = time.monotonic() + _READY_SECONDS
    while time.monotonic() < end:
        try:
            if (await http.get("/readyz")).is_success:
                return
        except httpx.TransportError:
            pass
        await asyncio.sleep(0.2)


async def _replay(callers: Callers, call: Call) -> Json:
    answer = await callers.call_until_answered(call, tries=_TRIES)
    document: Json = answer.json() if answer is not None else {}
    return document


async def _runs_of_key(http: httpx.AsyncClient, key: str) -> list[Json]:
    answer = await http.get("/node/flow-runs/", params={"idempotency_key": key})
    items: list[Json] = answer.json().get("items", [])
    return items


async def _show(http: httpx.AsyncClient, run_id: str) -> Json:
    while True:
        answer = await http.get(f"/node/flow-runs/{run_id}/")
        if answer.status_code != 429:
            shown: Json = answer.json()
            return shown
        await asyncio.sleep(float(answer.headers["retry-after"]))  # a key has 3,000 polls a minute


async def _gather(
    values: Mapping[str, Item], ask: Callable[[Item], Awaitable[Result]]
) -> dict[str, Result]:
    """Call `ask` for each value, a few at a time; return the results by key."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(value: Item) -> Result:
        async with gate:
            return await ask(value)

    results = await asyncio.gather(*(one(value) for value in values.values()))
    return dict(zip(values, results, strict=True))
