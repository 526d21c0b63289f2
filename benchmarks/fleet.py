"""Many small models on one machine: `python -m benchmarks.fleet --servers 30`.

Starts that many inference servers of a tiny model with the supervisor's own parts, one after the
other and then all at once. Prints how long each took from being asked for to being ready, and how
much memory each further one costs (proportional set size: what is shared counts in parts). Exits
with 1 where a bar is missed. Linux only.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from benchmarks.machine import describe
from benchmarks.model import tiny_model
from model_store.store import ModelStore
from model_store.verification import Verifier
from slipstream.status_printer import StatusPrinter
from slipstream.supervisor.fork_server import ForkServer
from slipstream.supervisor.fork_server_spawner import ForkServerSpawner
from slipstream.supervisor.process import ChildProcess, Lifeline
from slipstream.supervisor.process_manager import ProcessManager, StatusLine

_READY_BAR_SECONDS = 0.2
_MEMORY_BAR_MIB = 15.0
_MIB = 1024 * 1024
_SETTLE_SECONDS = 1.0
_DRAIN_SECONDS = 30.0


class Fleet:
    """Servers of one model: asked for, and waited for until they are ready.

    Attributes:
        ready: seconds that each took, in the order in which they became ready.
    """

    def __init__(self, spawner: ForkServerSpawner, store: Path, sockets: Path) -> None:
        self.ready: list[float] = []
        self.manager = ProcessManager(self._spawn, self)
        self._spawner = spawner
        self._store = store
        self._sockets = sockets
        self._asked = 0.0
        self._news = asyncio.Event()

    async def grow(self, count: int) -> None:
        """Ask for servers until there are `count`, all at once, and wait until all are ready."""
        self._asked = time.perf_counter()
        self.manager.set_desired({str(number): 1 for number in range(count)})
        while len(self.ready) < count:
            self._news.clear()
            await self._news.wait()

    def spawned(self, key: str, child: ChildProcess) -> None:
        """A process is there."""

    def reported(self, key: str, line: StatusLine) -> None:
        """Take the time."""
        if line["event"] == "ready":
            self.ready.append(time.perf_counter() - self._asked)
            self._news.set()
        elif line["event"] == "failed":
            raise SystemExit(f"server {key} failed: {line['message']}")

    def exited(self, key: str, *, requested: bool, reason: str, retry_in: float) -> None:  # noqa: ARG002 - of Watcher
        """Give up over what ends by itself."""
        if not requested:
            raise SystemExit(f"server {key} {reason}")

    def removed(self, key: str) -> None:
        """Nothing is kept."""

    async def _spawn(self, key: str) -> ChildProcess:
        arguments = ["--store", str(self._store), "--model", "tiny", "--version", "1"]
        arguments += ["--threads", "1", "--log-level", "warning"]
        return await self._spawner.spawn([*arguments, "--socket", str(self._sockets / key)])


@asynccontextmanager
async def _fleet(store: Path, *, direct: bool) -> AsyncIterator[Fleet]:
    lifeline = Lifeline()
    printer = StatusPrinter(as_json=True, started_at=time.monotonic())
    fork_server = None if direct else ForkServer.start(lifeline)
    spawner = ForkServerSpawner(lifeline, printer, running=fork_server)
    with TemporaryDirectory(prefix="fleet-") as sockets:
        fleet = Fleet(spawner, store, Path(sockets))
        tasks = [asyncio.create_task(kept.run()) for kept in (spawner, fleet.manager)]
        await spawner.present()
        try:
            yield fleet
        finally:
            for task in tasks:
                task.cancel()
            await fleet.manager.drain(_DRAIN_SECONDS)
            await spawner.drain(_DRAIN_SECONDS)


async def _measure(store: Path, servers: int, *, direct: bool) -> bool:
    """Print what was measured; return whether the bars are met."""
    async with _fleet(store, direct=direct) as fleet:
        await fleet.grow(1)
        first = await _memory()
        for count in range(2, servers + 1):
            await fleet.grow(count)
        each = (await _memory() - first) / (servers - 1)
        median, longest = statistics.median(fleet.ready), max(fleet.ready)
    async with _fleet(store, direct=direct) as fleet:
        await fleet.grow(servers)
        together = max(fleet.ready)
    print(f"ready, asked for one after the other   median {median:.3f} s, longest {longest:.3f} s")
    print(f"ready, all {servers} asked for at once       the last after {together:.3f} s")
    print(f"memory of the first                    {first:.1f} MiB, what is shared included")
    print(f"memory of each further one             {each:.1f} MiB")
    return longest <= _READY_BAR_SECONDS and each <= _MEMORY_BAR_MIB


async def _memory() -> float:
    """Return the MiB that all our children take together, once they have come to rest."""
    await asyncio.sleep(_SETTLE_SECONDS)
    children = psutil.Process().children(recursive=True)
    return sum(child.memory_full_info().pss for child in children) / _MIB


def main(words: Sequence[str] | None = None) -> int:
    """Measure; return the exit status."""
    parser = argparse.ArgumentParser("benchmarks.fleet", description=__doc__)
    parser.add_argument("--servers", type=int, default=30, help="how many, 2 or more (30)")
    parser.add_argument("--direct", action="store_true", help="without a fork server")
    given = parser.parse_args(words)
    for name, value in describe(Path(__file__).parent.parent).items():
        if name in ("processor", "cores", "memory_gib", "system", "python", "commit"):
            print(f"{name}: {value}")
    with TemporaryDirectory(prefix="fleet-") as folder:
        store = Path(folder) / "store"
        verifier = Verifier((sys.executable, "-m", "inference_server.runtime.verify"))
        ModelStore(store).publish(tiny_model(Path(folder)).path, "tiny", verifier=verifier)
        met = asyncio.run(_measure(store, given.servers, direct=given.direct))
    if not met and not given.direct:
        print(f"missed: {_READY_BAR_SECONDS} s and {_MEMORY_BAR_MIB:.0f} MiB are the bars")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
