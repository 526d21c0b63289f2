"""`slipstream hosts drain` and `uncordon`, and what `slipstream doctor` says of hosts."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from gateway.fleet.hosts import HostLease, HostStore, SeenHost
from gateway.fleet.states import Desired, State
from gateway.fleet.store import FleetStore
from gateway.storage.sql import seconds_from_now
from gateway.storage.tables import Host, InferenceServer, Replica
from slipstream.commands import host_drain
from slipstream.commands.host_drain import remaining
from slipstream.doctor.finding import Level
from slipstream.doctor.hosts import check_hosts
from slipstream.workspace import open_workspace, read_settings
from tests.slipstream.cli import Cli

NOW = datetime(2026, 12, 2, 12, tzinfo=UTC)


def seen(
    name: str,
    *,
    is_alive: bool = True,
    cordoned: timedelta | None = None,
    labels: dict[str, str] | None = None,
) -> SeenHost:
    """A host, and for how long it is cordoned."""
    cordoned_at = None if cordoned is None else NOW - cordoned
    row = Host(id=name, name=f"host-{name}", labels=labels, cordoned_at=cordoned_at)
    return SeenHost(row=row, is_alive=is_alive, replicas=0, used_memory_bytes=0)


def server(places: str, desired: Desired = Desired.RUNNING) -> InferenceServer:
    """A server with a replica on each host in `places`."""
    replicas = [
        Replica(id=f"{slot}", slot=slot, host_id=place, state=State.READY)
        for slot, place in enumerate(places)
    ]
    return InferenceServer(model="iris", version=1, desired=desired, replicas=replicas)


async def join(state: Path, *names: str) -> list[str]:
    """Have hosts join whose leases last for the test, and return their ids."""
    async with open_workspace(read_settings(state=state)) as workspace:
        hosts = HostStore(workspace.db)
        found = []
        for name in names:
            lease = await hosts.claim(
                name=name, owner=f"{name}{len(found)}", has_ended=lambda _: False, joined=True
            )
            assert isinstance(lease, HostLease)
            found.append(lease.host_id)
        async with workspace.db.write() as session:
            await session.execute(update(Host).values(lease_until=seconds_from_now(600)))
    return found


async def serve_on(state: Path, host_id: str) -> None:
    """Have a host run a server."""
    async with open_workspace(read_settings(state=state)) as workspace:
        await FleetStore(workspace.db).ensure_running("iris", 1)
        async with workspace.db.write() as session:
            placed = update(Replica).values(host_id=host_id, state=State.READY)
            await session.execute(placed)


def test_a_host_is_drained_and_takes_replicas_again(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_drain, "SWITCH_SECONDS", 0.0)
    assert cli.refusal("hosts", "drain", "h1") == (1, "not_found")
    first, second, _ = asyncio.run(join(cli.state, "h1", "h2", "h2"))
    drained = cli.run("hosts", "drain", "h1")
    assert drained.exit_code == 0, drained.output
    assert drained.stdout == "h1 runs no inference server: it may be stopped.\n"
    assert cli.refusal("hosts", "drain", "h2") == (1, "validation_failed")
    assert cli.answer("hosts", "drain", second)["cordoned_at"]
    assert [it["cordoned_at"] is None for it in cli.answer("hosts", "list")["items"]] == [
        *(False, False, True)
    ]
    assert "alive, cordoned" in cli.run("hosts", "list").stdout
    assert cli.answer("hosts", "uncordon", first)["cordoned_at"] is None
    assert "cordoned" not in cli.run("hosts", "uncordon", second).stdout
    recorded = [it["action"] for it in cli.answer("audit", "list")["items"]]
    assert recorded[:4] == [*("host.uncordon",) * 2, *("host.cordon",) * 2]


def test_a_host_with_what_no_other_may_run_is_not_to_be_stopped(cli: Cli) -> None:
    (only,) = asyncio.run(join(cli.state, "h1"))
    asyncio.run(serve_on(cli.state, only))
    drained = cli.run("hosts", "drain", "h1")
    assert drained.exit_code == 1
    assert "iris 1 stays: no other host that lives may run it" in " ".join(drained.stderr.split())
    asyncio.run(join(cli.state, "h2"))
    assert "waits for a host" in cli.run("hosts", "drain", "h1", "--timeout", "0").stderr


def test_what_is_left_on_a_host_says_what_it_waits_for() -> None:
    hosts = [seen("a", cordoned=timedelta(0)), seen("b"), seen("c", is_alive=False)]
    moving = server("a")
    moving.replicas.append(
        Replica(id="new", slot=1, host_id="b", replaces="0", state=State.BOOTING)
    )
    assert remaining([moving], hosts, "a") == {"0": ("iris 1", "boots on host-b")}
    assert remaining([server("ab")], hosts, "a")["0"][1] == "waits for a host that takes it"
    assert remaining([server("a", Desired.ASLEEP)], hosts, "a")["0"][1] == "ends"
    required = server("a")
    required.host_labels = {"zone": "b"}
    assert remaining([required], hosts, "a")["0"][1].startswith("stays")
    assert remaining([required], [*hosts, seen("d", labels={"zone": "b"})], "a")["0"][1].startswith(
        "waits"
    )
    assert not remaining([server("b")], hosts, "a")


@pytest.mark.parametrize(
    ("places", "hosts", "is_warned"),
    [
        ("aa", [seen("a"), seen("b")], True),
        ("ab", [seen("a"), seen("b")], False),
        ("a", [seen("a"), seen("b")], False),
        ("aa", [seen("a"), seen("b", is_alive=False)], False),
        ("aa", [seen("a"), seen("b", cordoned=timedelta(0)), seen("c")], True),
        ("aa", [seen("a"), seen("b", cordoned=timedelta(0))], False),
    ],
)
def test_doctor_warns_of_a_server_that_goes_down_with_one_host(
    places: str, hosts: list[SeenHost], *, is_warned: bool
) -> None:
    warnings = [it for it in check_hosts([server(places)], hosts, NOW) if it.level != Level.GOOD]
    assert bool(warnings) == is_warned
    if is_warned:
        assert "iris 1 has 2 replicas, all on host-a" in warnings[0].message
    assert not list(check_hosts([server(places, Desired.STOPPED)], hosts, NOW))[1:]


def test_doctor_warns_of_a_host_that_is_cordoned_for_long() -> None:
    hosts = [seen("a", cordoned=timedelta(hours=23)), seen("b", cordoned=timedelta(days=2))]
    found = [it for it in check_hosts([], hosts, NOW) if it.level == Level.WARNING]
    assert [it.fix for it in found] == ["slipstream hosts uncordon host-b"]
    assert "since 2026-11-30 12:00 UTC" in found[0].message
