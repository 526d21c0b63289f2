"""When a gateway asks for calls."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest_asyncio

from gateway.readiness import Readiness
from gateway.upstream.servers import InferenceServers
from tests.gateway.upstream.conftest import LIMIT, soon, until
from tests.gateway.upstream.stock_server import StockServer
from tests.gateway.upstream.test_servers import status


def readiness_of(
    servers: InferenceServers,
    *,
    database: Callable[[], bool] = lambda: True,
    broker: bool = True,
) -> Readiness:
    """Return the readiness of a gateway with these servers, whose database and broker answer."""
    return Readiness(
        servers,
        database_answers=database,
        broker_connected=lambda: broker,
        disk_problem=lambda: None,
        unrecorded_runs=list,
    )


@pytest_asyncio.fixture
async def servers() -> AsyncIterator[InferenceServers]:
    """An empty list of servers."""
    made = InferenceServers(max_message_bytes=LIMIT, drain_seconds=0)
    yield made
    await soon(made.close())


async def test_a_gateway_is_not_ready_before_it_knows_the_servers(
    servers: InferenceServers,
) -> None:
    readiness = readiness_of(servers)
    assert readiness.reasons() == ["starting: the inference servers are not known yet"]
    readiness.servers_known(has_hosts=True)
    assert readiness.reasons() == []


async def test_stopped_servers_are_not_waited_for(servers: InferenceServers) -> None:
    servers.apply([status(1, "stopped", wanted=False), status(2, "failed", wanted=False)])
    readiness = readiness_of(servers)
    readiness.servers_known(has_hosts=True)
    assert readiness.reasons() == []


async def test_every_server_that_should_run_is_waited_for_with_its_phase(
    servers: InferenceServers, stock: StockServer
) -> None:
    booting = status(2, "booting", phase="loading")
    servers.apply([status(1, address=stock.address), booting])
    readiness = readiness_of(servers)
    readiness.servers_known(has_hosts=True)
    await until(lambda: servers.is_ready("iris", 1))
    assert readiness.reasons() == ["inference server iris version 2: loading"]
    servers.apply([status(1, address=stock.address), status(2, address=stock.address)])
    await until(lambda: servers.is_ready("iris", 2))
    assert readiness.reasons() == []


async def test_without_a_host_no_server_is_waited_for(servers: InferenceServers) -> None:
    """All servers register themselves: a gateway that waited for one would not be found by it."""
    servers.apply([status(1, "stopped")])
    readiness = readiness_of(servers)
    readiness.servers_known(has_hosts=False)
    assert readiness.reasons() == []
    assert readiness.degraded() == ["inference server iris version 1: stopped"]


async def test_a_process_that_is_up_but_not_connected_is_waited_for(
    servers: InferenceServers, stock: StockServer
) -> None:
    stock.ready = False
    servers.apply([status(1, address=stock.address)])
    readiness = readiness_of(servers)
    readiness.servers_known(has_hosts=True)
    await soon(stock.asked.wait())
    (reason,) = readiness.reasons()
    assert reason.startswith("inference server iris version 1: ")
    stock.ready = True
    await until(lambda: not readiness.reasons())


async def test_a_failed_server_does_not_hold_up_the_others(
    servers: InferenceServers, stock: StockServer
) -> None:
    servers.apply([status(1, address=stock.address), status(2, "failed", reason="no operator")])
    readiness = readiness_of(servers)
    readiness.servers_known(has_hosts=True)
    await until(lambda: servers.is_ready("iris", 1))
    assert readiness.reasons() == []


async def test_a_failed_server_is_degraded_and_does_not_hold_up_the_gateway(
    servers: InferenceServers,
) -> None:
    servers.apply([status(1, "failed", reason="no operator")])
    readiness = readiness_of(servers)
    readiness.servers_known(has_hosts=True)
    assert readiness.reasons() == []
    assert readiness.degraded() == [
        "inference server iris version 1: failed: the model failed to load"
    ]
    servers.apply([status(1, "booting", phase="loading")])
    assert readiness.reasons() == [], "its next attempts hold up nothing either"
    assert readiness.degraded() == ["inference server iris version 1: loading"]
    servers.apply([])
    assert readiness.degraded() == []


async def test_every_reason_is_listed_once(servers: InferenceServers) -> None:
    booting, failed = status(1, "booting", phase="loading"), status(2, "failed", reason="no")
    servers.apply([booting, failed])
    readiness = readiness_of(servers, database=lambda: False, broker=False)
    readiness.servers_known(has_hosts=True)
    loading = "inference server iris version 1: loading"
    assert readiness.reasons() == ["database: it does not answer", loading]
    assert readiness.degraded() == [
        "inference server iris version 2: failed: the model failed to load",
        "broker: not connected, runs of type api wait for it",
    ]


async def test_a_database_that_goes_away_degrades_a_gateway_that_has_been_ready(
    servers: InferenceServers,
) -> None:
    answers = False
    readiness = readiness_of(servers, database=lambda: answers)
    readiness.servers_known(has_hosts=True)
    away = ["database: it does not answer"]
    assert (readiness.reasons(), readiness.degraded()) == (away, []), "it has never been ready"
    answers = True
    assert (readiness.reasons(), readiness.degraded()) == ([], [])
    answers = False
    assert (readiness.reasons(), readiness.degraded()) == ([], away)
    answers = True
    assert (readiness.reasons(), readiness.degraded()) == ([], [])


async def test_a_server_that_was_ready_once_during_startup_counts(
    servers: InferenceServers, stock: StockServer
) -> None:
    booting = status(2, "booting", phase="loading")
    servers.apply([status(1, address=stock.address), booting])
    readiness = readiness_of(servers)
    readiness.servers_known(has_hosts=True)
    await until(lambda: servers.is_ready("iris", 1))
    assert readiness.reasons() == ["inference server iris version 2: loading"]
    await stock.stop()
    await until(lambda: not servers.is_ready("iris", 1))
    assert readiness.reasons() == ["inference server iris version 2: loading"]


async def test_once_ready_a_model_that_is_lost_or_new_changes_nothing(
    servers: InferenceServers, stock: StockServer
) -> None:
    servers.apply([status(1, address=stock.address)])
    readiness = readiness_of(servers)
    readiness.servers_known(has_hosts=True)
    await until(lambda: servers.is_ready("iris", 1))
    assert readiness.reasons() == []
    await stock.stop()
    await until(lambda: not servers.is_ready("iris", 1))
    assert readiness.reasons() == []
    servers.apply([status(2, "booting", phase="spawning")])
    assert readiness.reasons() == []
    servers.apply([status(2, "failed", reason="no operator")])
    assert readiness.reasons() == []


async def test_each_gateway_tracks_its_own_startup(servers: InferenceServers) -> None:
    first = readiness_of(servers)
    first.servers_known(has_hosts=True)
    assert first.reasons() == []
    servers.apply([status(1, "booting", phase="loading")])
    second = readiness_of(servers)
    second.servers_known(has_hosts=True)
    assert second.reasons() == ["inference server iris version 1: loading"]
    assert first.reasons() == []
