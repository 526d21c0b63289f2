"""What happens to the hosts, one thing after the other, and what each may cost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

import psutil

from tests.chaos.outages import Outages
from tests.fleet.bed import Bed, FleetHost
from tests.fleet.replicas import Replicas

CUT_SECONDS = 20.0
FREEZE_SECONDS = 10.0
STORE_SECONDS = 60.0
CLOCK_SECONDS = 600


Recovered = Callable[[], Awaitable[None]]
Look = Callable[[], Awaitable[Replicas]]


class Stage:
    """What steps act on, and note.

    Attributes:
        bed: the hosts.
        hits: when something was taken away, by `time.monotonic`.
        ended: how many processes that calls go through ended by that.
        recovered: waits until all hosts and replicas are back.
        replicas: returns where replicas run.
    """

    def __init__(self, bed: Bed, recovered: Recovered, replicas: Look) -> None:
        self.bed = bed
        self.hits: list[float] = []
        self.ended = 0
        self.recovered = recovered
        self.replicas = replicas

    def hit(self, *, host: bool = False) -> None:
        """Note that a process is taken away now, or with a host its gateway and its server.

        These end one after the other, so that a caller can lose a call to each.
        """
        self.hits.append(time.monotonic())
        self.ended += 2 if host else 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing that happens.

    Attributes:
        name: what it is.
        act: does it; returns when it is over.
        back_seconds: after each hit, no fast call that begins later fails. Of a step without hits,
            none fails, and no host refuses one while it is ready.
    """

    name: str
    act: Callable[[Stage], Awaitable[None]]
    back_seconds: float = 0.0


def steps(outages: Outages, *, upgrade: bool) -> list[Step]:
    """Return all steps; `outages` notes when database and broker are away.

    With `upgrade`, the hosts run an older release at first.
    """

    async def freeze(stage: Stage) -> None:
        with outages.held():
            stage.bed.postgres.suspend()
            await asyncio.sleep(FREEZE_SECONDS)
            stage.bed.postgres.resume()

    async def restart_database(stage: Stage) -> None:
        with outages.held():
            await asyncio.to_thread(stage.bed.postgres.restart)

    async def restart_broker(stage: Stage) -> None:
        with outages.held():
            await asyncio.to_thread(stage.bed.redis.restart)

    killed = [
        Step(name=f"kill -9 of each {kind}", act=_killer(kind), back_seconds=3.0)
        for kind in ("server", "gateway", "worker", "fork server")
    ]
    upgrades = [Step(name="a rolling upgrade", act=_upgrade_all)] if upgrade else []
    return [
        *upgrades,
        *killed,
        Step(name="kill -9 of a registered server", act=_kill_registered, back_seconds=3.0),
        Step(name="kill -9 of a supervisor", act=_kill_supervisor, back_seconds=3.0),
        Step(name="the host with most replicas is killed", act=_kill_fullest, back_seconds=3.0),
        Step(name=f"a host is cut off for {CUT_SECONDS:g} s", act=_cut, back_seconds=5.0),
        Step(name=f"the database freezes for {FREEZE_SECONDS:g} s", act=freeze),
        Step(name="the database is restarted", act=restart_database),
        Step(name="the broker is restarted", act=restart_broker),
        Step(
            name=f"the store is away for {STORE_SECONDS:g} s, and a server is killed",
            act=_cut_store,
            back_seconds=3.0,
        ),
        Step(name="clocks move by 10 minutes, in both directions", act=_move_clocks),
        Step(name="a rolling reload", act=_reload_all),
        Step(name="a rolling restart", act=_restart_all),
    ]


def _killer(kind: str) -> Callable[[Stage], Awaitable[None]]:
    """Return what kills one process of a kind on each host in turn."""

    async def act(stage: Stage) -> None:
        for host in stage.bed.hosts:
            found = await asyncio.to_thread(host.processes, kind)
            assert found, f"host {host.name} has no {kind}"
            stage.hit()
            with suppress(psutil.NoSuchProcess):
                found[0].kill()
            await asyncio.sleep(1)
            await stage.recovered()

    return act


async def _kill_registered(stage: Stage) -> None:
    stage.hit()
    await asyncio.to_thread(stage.bed.pod.kill)
    await asyncio.sleep(10)
    await asyncio.to_thread(stage.bed.start_server)


async def _kill_supervisor(stage: Stage) -> None:
    host = stage.bed.hosts[1]
    stage.hit(host=True)
    assert host.up is not None
    host.up.process.kill()
    await asyncio.to_thread(host.up.process.wait)
    await asyncio.sleep(8)
    await _started(stage.bed, host)


async def _kill_fullest(stage: Stage) -> None:
    address = (await stage.replicas()).fullest()
    (host,) = [each for each in stage.bed.hosts if each.machine.address == address]
    stage.hit(host=True)
    await asyncio.to_thread(host.machine.kill)
    assert host.up is not None
    await asyncio.to_thread(host.up.process.wait)
    await asyncio.sleep(10)
    await _started(stage.bed, host)


async def _cut(stage: Stage) -> None:
    machine = stage.bed.hosts[1].machine
    stage.hit()
    machine.cut()
    await asyncio.sleep(CUT_SECONDS)
    machine.restore()


async def _cut_store(stage: Stage) -> None:
    stage.bed.store.cut()
    await asyncio.sleep(STORE_SECONDS / 2)
    stage.hit()
    for process in (await asyncio.to_thread(stage.bed.hosts[0].processes, "server"))[:1]:
        process.kill()
    await asyncio.sleep(STORE_SECONDS / 2)
    stage.bed.store.restore()


async def _move_clocks(stage: Stage) -> None:
    for host, seconds in zip(stage.bed.hosts, (0, CLOCK_SECONDS, -CLOCK_SECONDS), strict=True):
        host.set_clock(seconds)
    await asyncio.sleep(15)
    for host, seconds in zip(stage.bed.hosts, (CLOCK_SECONDS, -CLOCK_SECONDS, 0), strict=True):
        host.set_clock(seconds)
    await asyncio.sleep(15)
    for host in stage.bed.hosts:
        host.set_clock(0)


async def _reload_all(stage: Stage) -> None:
    for host in stage.bed.hosts:
        await asyncio.to_thread(host.reload)


async def _upgrade_all(stage: Stage) -> None:
    for host in stage.bed.hosts:
        await asyncio.to_thread(host.upgrade)
        await stage.recovered()
    stage.bed.spreads = True


async def _restart_all(stage: Stage) -> None:
    for host in stage.bed.hosts:
        await asyncio.to_thread(host.stop)
        await _started(stage.bed, host)
        await stage.recovered()


async def _started(bed: Bed, host: FleetHost) -> None:
    await asyncio.to_thread(bed.start, host)
