"""Servers that are asleep: who wakes them, how often, and what the caller is told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

import pytest
import pytest_asyncio

from gateway.errors import GatewayError
from gateway.upstream.servers import InferenceServers, ServerStatus
from protos.errors import ErrorCode
from tests.gateway.upstream.conftest import LIMIT, soon, until
from tests.gateway.upstream.stock_server import StockServer
from tests.gateway.upstream.test_readiness import readiness_of
from tests.gateway.upstream.test_servers import absence, retry_after, status


def asleep(version: int = 1, generation: int = 1, **known: float) -> ServerStatus:
    """Return the status of a server that sleeps."""
    return status(version, "stopped", asleep=True, generation=generation, **known)


class Called:
    """Servers, and the versions of `iris` that were to be woken."""

    def __init__(self) -> None:
        self.woken: list[int] = []
        self.servers = InferenceServers(
            max_message_bytes=LIMIT,
            drain_seconds=0,
            on_wake=lambda _model, version: self.woken.append(version),
        )

    def apply(self, statuses: Iterable[ServerStatus]) -> None:
        """Let the fleet be as given."""
        self.servers.apply(statuses)


@pytest_asyncio.fixture
async def fleet() -> AsyncIterator[Called]:
    """No servers yet."""
    made = Called()
    yield made
    await soon(made.servers.close())


async def test_the_first_call_wakes_a_server_and_every_call_reports_that_it_boots(
    fleet: Called,
) -> None:
    fleet.apply([asleep(boot_seconds=2.5, seconds_ago=3600.0)])
    for _ in range(3):
        error = absence(fleet.servers)
        assert error.code is ErrorCode.INFERENCE_SERVER_BOOTING
        assert error.details == {"phase": "spawning", "elapsed_seconds": 0.0}
        assert retry_after(error) == "3"
    assert fleet.woken == [1]


async def test_one_that_was_just_woken_has_not_been_booting_since_its_last_start(
    fleet: Called,
) -> None:
    fleet.apply([status(1, "stopped", boot_seconds=2.5, seconds_ago=3600.0)])
    assert retry_after(absence(fleet.servers)) == "3"
    assert fleet.woken == []


async def test_updates_about_others_do_not_wake_it_again(fleet: Called) -> None:
    fleet.apply([asleep()])
    absence(fleet.servers)
    fleet.apply([asleep(), status(2, "booting")])
    absence(fleet.servers)
    assert fleet.woken == [1]


async def test_each_sleep_ends_with_the_first_call_in_it(fleet: Called) -> None:
    for generation in range(1, 4):
        fleet.apply([asleep(generation=generation)])  # that it ran in between was not seen
        absence(fleet.servers)
    assert fleet.woken == [1, 1, 1]
    fleet.apply([])
    fleet.apply([asleep(generation=3)])  # another server of the same name
    absence(fleet.servers)
    assert fleet.woken == [1, 1, 1, 1]


@pytest.mark.parametrize("known", [status(1, "stopped", wanted=False), status(1, "booting")])
async def test_no_other_server_is_woken(fleet: Called, known: ServerStatus) -> None:
    fleet.apply([known])
    absence(fleet.servers)
    absence(fleet.servers, version=7)
    assert fleet.woken == []


async def test_a_request_for_metadata_wakes_no_server(fleet: Called) -> None:
    fleet.apply([asleep()])
    with pytest.raises(GatewayError, match="iris version 1 is asleep: a call") as caught:
        fleet.servers.awake_streams("iris", 1)
    assert caught.value.code is ErrorCode.NO_ACTIVE_INFERENCE
    assert not fleet.servers.is_ready("iris", 1)
    assert not fleet.servers.is_ready("iris", None)
    assert fleet.woken == []


async def test_calls_without_a_version_mean_the_highest_asleep_or_not(
    fleet: Called, stock: StockServer
) -> None:
    fleet.apply([asleep(2), status(1, "booting")])
    assert fleet.servers.choose("iris") == 2
    assert fleet.woken == []  # the call itself wakes it
    fleet.apply([asleep(3), asleep(1), status(2, address=stock.address)])
    await until(lambda: fleet.servers.is_ready("iris", 2))
    for _ in range(2):
        assert fleet.servers.choose("iris") == 2
    assert fleet.woken == [3]


async def test_a_gateway_does_not_wait_for_those_that_sleep(fleet: Called) -> None:
    fleet.apply([asleep()])
    readiness = readiness_of(fleet.servers)
    readiness.servers_known(has_hosts=True)
    assert readiness.reasons() == []
    fleet.apply([status(1, "booting", generation=2)])
    assert readiness.reasons() == []
