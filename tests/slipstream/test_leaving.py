"""Replicas that are not needed now, and run on for a while."""

from __future__ import annotations

import asyncio

from slipstream.supervisor.leaving import LeavingReplicas
from tests.timing import TIMEOUT_SECONDS


async def test_replicas_run_on_until_gateways_know_and_while_they_have_calls() -> None:
    busy: set[str] = set()
    look = asyncio.Event()
    leaving = LeavingReplicas(is_busy=busy.__contains__, call_seconds=60, look=look.set)
    leaving.update({"idle", "busy", "ended", "unwanted"}, may_stay=lambda key: key != "unwanted")
    leaving.forget("ended")
    assert set(leaving) == {"idle", "busy"}
    leaving.update(set(), may_stay=lambda _: True)
    assert set(leaving) == {"idle", "busy"}, "it is too early"
    busy.add("busy")
    await asyncio.wait_for(look.wait(), TIMEOUT_SECONDS)
    leaving.update(set(), may_stay=lambda _: True)
    assert set(leaving) == {"busy"}
    busy.clear()
    leaving.update(set(), may_stay=lambda _: True)
    assert not set(leaving)
