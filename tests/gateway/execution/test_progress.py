"""Progress events of running runs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import orjson
import pytest

from gateway.execution import progress as progress_module
from gateway.execution.progress import ProgressReporter
from gateway.flows.result import NodeResult, NodeStatus
from gateway.runs.run import MAX_NODE_OUTPUTS_BYTES, Claim, NodeEvent
from gateway.runs.store import RunStore
from gateway.storage.database import Database
from tests.gateway.databases import statements
from tests.gateway.runs.builders import COMPLETED, claimed, until
from tests.timing import TIMEOUT_SECONDS

pytestmark = pytest.mark.databases("sqlite", "postgresql")

INTERVAL_SECONDS = 0.1


@pytest.fixture(autouse=True)
def _short_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_module, "INTERVAL_SECONDS", INTERVAL_SECONDS)


def ended(node_id: str, output: object = None) -> NodeResult:
    return NodeResult(
        id=node_id, name=node_id, type="wait", status=NodeStatus.COMPLETED, output=output
    )


def progress_of(store: RunStore, claim: Claim) -> ProgressReporter:
    return ProgressReporter(lambda nodes: store.report(claim.run_id, claim.attempt, nodes))


async def told(store: RunStore, claim: Claim, count: int) -> list[NodeEvent]:
    """Return the events once there are `count`."""
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while len(found := await store.events(claim.run_id)) < count:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.05)
    return found


async def test_nodes_are_reported_in_numbered_batches(store: RunStore) -> None:
    claim = await claimed(store)
    progress = progress_of(store, claim)
    for node_id in "abc":
        progress.add(ended(node_id, {"of": node_id}))
    found = await told(store, claim, 3)
    assert [(one.number, one.node_id) for one in found] == [(1, "a"), (2, "b"), (3, "c")]
    assert orjson.loads(found[0].data)["output"] == {"of": "a"}
    progress.add(ended("d"))
    assert (await told(store, claim, 4))[3].node_id == "d"
    await progress.stop()


async def test_a_short_run_costs_no_query(database: Database, store: RunStore) -> None:
    claim = await claimed(store)
    with statements(database) as asked:
        progress = progress_of(store, claim)
        progress.add(ended("a"))
        await progress.stop()
        await asyncio.sleep(1.5 * INTERVAL_SECONDS)
    assert asked == []


async def test_reporting_stops_after_the_lease_is_lost(database: Database, store: RunStore) -> None:
    claim = await claimed(store)
    await store.finish(claim.run_id, claim.attempt, COMPLETED)
    reported = asyncio.Event()

    async def report(nodes: Mapping[str, bytes]) -> bool:
        held = await store.report(claim.run_id, claim.attempt, nodes)
        reported.set()
        return held

    progress = ProgressReporter(report)
    progress.add(ended("a"))
    await asyncio.wait_for(reported.wait(), TIMEOUT_SECONDS)
    with statements(database) as asked:
        progress.add(ended("b"))
        await asyncio.sleep(1.5 * INTERVAL_SECONDS)
    await progress.stop()
    assert asked == []
    assert await store.events(claim.run_id) == []


async def test_outputs_beyond_the_shared_limit_are_omitted(store: RunStore) -> None:
    claim = await claimed(store)
    progress = progress_of(store, claim)
    progress.add(ended("a", "x" * (MAX_NODE_OUTPUTS_BYTES - 1000)))
    progress.add(ended("b", "x" * 2000))
    progress.add(ended("c", "small"))
    found = [orjson.loads(one.data) for one in await told(store, claim, 3)]
    await progress.stop()
    assert found[1]["output"] is None
    assert "omitted" in found[1]["notes"][0]
    assert found[2]["output"] == "small"


async def test_a_failed_write_does_not_stop_reporting() -> None:
    tries: list[list[str]] = []

    async def refuse(nodes: Mapping[str, bytes]) -> bool:
        tries.append(list(nodes))
        raise OSError("the database is away")

    progress = ProgressReporter(refuse)
    progress.add(ended("a"))
    async with asyncio.timeout(TIMEOUT_SECONDS):
        await until(lambda: len(tries) == 1)
        progress.add(ended("b"))
        await until(lambda: len(tries) == 2)
    await progress.stop()
    assert tries == [["a"], ["b"]]
