"""The inference servers: rows of the database that ask for processes, and processes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from gateway.fleet.states import Phase, State
from gateway.fleet.store import FleetStore
from gateway.settings import Settings
from gateway.storage.changes import ChangeFeed, ChangeKind
from gateway.storage.tables import InferenceServer
from inference_server.runtime.threads import plan
from slipstream.announcer import Announcer
from slipstream.settings import inference_options
from slipstream.supervisor.keeper import Keeper, StatusLine
from slipstream.supervisor.memory import memory_of
from slipstream.supervisor.process import Child
from slipstream.supervisor.reports import Reports
from slipstream.supervisor.spawner import Spawner

_WEIGH_SECONDS = 5.0
_FLUSH_SECONDS = 2.0
_PAUSE_SECONDS = 0.5


class Fleet:
    """Keeps a process for each row that wants one, and each row up to date."""

    def __init__(
        self,
        *,
        store: FleetStore,
        feed: ChangeFeed,
        settings: Settings,
        sockets: Path,
        spawner: Spawner,
        announcer: Announcer,
    ) -> None:
        self._store = store
        self._settings = settings
        self._sockets = sockets
        self._spawner = spawner
        self._announcer = announcer
        self._keeper = Keeper(self._spawn, self, on_rest=self.rested)
        self._reports = Reports(store)
        self._servers: dict[str, InferenceServer] = {}
        self._wanted: set[str] = set()
        self._settled: set[str] = set()
        self._all_settled = asyncio.Event()
        self._socket_of: dict[str, Path] = {}
        self._restarts: Counter[str] = Counter()
        self._numbers = count(1)
        self._weights: dict[str, int] = {}
        self._wishes_changed = asyncio.Event()
        self._weigh_now = asyncio.Event()
        self._draining = False
        self._followed = asyncio.Event()
        feed.subscribe(ChangeKind.INFERENCE_SERVER, lambda _: self._wishes_changed.set())

    async def run(self) -> None:
        """Look after the inference servers until cancelled."""
        await asyncio.gather(
            self._follow_wishes(), self._keeper.run(), self._reports.run(), self._weigh()
        )

    async def settled(self) -> None:
        """Return once every server that is wanted has become ready or has failed."""
        await self._all_settled.wait()

    async def drain(self, grace: float) -> None:
        """Let every server finish its calls and go, and have it written down while `run` runs."""
        await self._keeper.drain(grace)
        self._draining = True
        self._wishes_changed.set()
        # No query is to be cancelled in the middle: SQLAlchemy would log that at length.
        with suppress(TimeoutError):
            await asyncio.wait_for(self._followed.wait(), _FLUSH_SECONDS)
        await self._reports.flush(_FLUSH_SECONDS)

    def kill(self) -> None:
        """End every server at once."""
        self._keeper.kill()

    def spawned(self, key: str, child: Child) -> None:
        """A process is on its way up."""
        self._tell(key, f"process {child.pid}", "dim")
        self._reports.add(
            key,
            state=State.BOOTING,
            phase=Phase.SPAWNING,
            pid=child.pid,
            address=None,
            tcp_address=None,
            metrics_address=None,
            restarts=self._restarts[key],
        )

    def said(self, key: str, line: StatusLine) -> None:
        """A server has reported where it listens or how far it is."""
        match line["event"]:
            case "listening":
                self._reports.add(
                    key,
                    address=line["address"],
                    tcp_address=line.get("tcp_address"),
                    metrics_address=line.get("metrics_address"),
                )
            case "phase":
                self._tell(key, str(line["phase"]), "dim")
                self._reports.add(key, state=State.BOOTING, phase=Phase(line["phase"]))
            case "ready":
                seconds = float(line["boot_seconds"])
                self._tell(key, f"ready after {seconds:.2f} s", "green")
                self._reports.add(key, state=State.READY, boot_seconds=seconds)
                self._settle(key)
                self._weigh_now.set()
            case "failed":
                self._tell(key, f"failed: {line['message']}", "red")
                self._reports.add(key, state=State.FAILED, reason=str(line["message"]))
                self._settle(key)
            case "draining":
                self._reports.add(key, state=State.DRAINING)

    def exited(self, key: str, *, asked: bool, how: str, retry_in: float) -> None:
        """A process has ended."""
        self._clear_up(key)
        if asked:
            self._tell(key, "stopped", "dim")
            self._restarts.pop(key, None)
            self._reports.add(key, state=State.STOPPED, reason=None)
        else:
            self._tell(key, f"{how}; started again in {retry_in:.1f} s", "red")
            self._restarts[key] += 1
            self._reports.add(
                key,
                state=State.BOOTING,
                phase=Phase.SPAWNING,
                pid=None,
                address=None,
                tcp_address=None,
                metrics_address=None,
                memory_bytes=None,
                restarts=self._restarts[key],
                reason=f"the process {how}",
            )

    def rested(self, key: str) -> None:
        """A process has ended because nobody called it: its server sleeps until somebody does."""
        self._clear_up(key)
        self._tell(key, "asleep until it is called", "dim")
        self._restarts.pop(key, None)
        self._reports.fell_asleep(key, self._servers[key].generation)

    def forgotten(self, key: str) -> None:
        """Nothing runs and nothing should: also said of what had crashed and waited."""
        self._reports.add(key, state=State.STOPPED, reason=None)
        self._restarts.pop(key, None)
        self._servers.pop(key, None)
        self._settled.discard(key)

    async def _spawn(self, key: str) -> Child:
        server = self._servers[key]
        # A new name each time: a server that drains removes its own socket, not its successor's.
        socket = self._socket_of[key] = self._sockets / f"{key[:8]}-{next(self._numbers)}.sock"
        options = inference_options(
            threads=plan(servers=len(self._wanted)).intra_op,
            max_message_bytes=self._settings.max_body_bytes,
            grace_seconds=self._settings.drain_seconds,
            log_level=self._settings.log_level,
        )
        served = ["--store", str(self._settings.models), "--model", server.model]
        served += ["--version", str(server.version), "--socket", str(socket)]
        if server.idle_timeout_seconds is not None:
            served += ["--idle-timeout", str(server.idle_timeout_seconds)]
        return await self._spawner.spawn([*served, *options])

    async def _follow_wishes(self) -> None:
        while not self._draining:
            self._wishes_changed.clear()
            try:
                wanted = await self._store.wanted()
            except (SQLAlchemyError, OSError):  # the feed has said so already
                self._wishes_changed.set()
                await asyncio.sleep(_PAUSE_SECONDS)
            else:
                self._want(wanted)
            await self._wishes_changed.wait()
        self._followed.set()

    def _want(self, wanted: Sequence[InferenceServer]) -> None:
        self._wanted = {server.id for server in wanted}
        self._servers |= {server.id: server for server in wanted}
        self._keeper.want({server.id: server.generation for server in wanted})
        self._check_settled()

    async def _weigh(self) -> None:
        while True:
            self._weigh_now.clear()
            pids = self._keeper.pids
            sharing = Counter(pids.values())
            for key, pid in pids.items():
                weight = (await asyncio.to_thread(memory_of, pid) or 0) // sharing[pid]
                # What nobody would notice is not worth a write.
                if weight and abs(weight - self._weights.get(key, 0)) > weight / 100:
                    self._weights[key] = weight
                    self._reports.add(key, memory_bytes=weight)
            with suppress(TimeoutError):
                async with asyncio.timeout(_WEIGH_SECONDS):
                    await self._weigh_now.wait()

    def _clear_up(self, key: str) -> None:
        self._weights.pop(key, None)
        if socket := self._socket_of.pop(key, None):
            socket.unlink(missing_ok=True)  # who is killed cannot

    def _settle(self, key: str) -> None:
        self._settled.add(key)
        self._check_settled()

    def _check_settled(self) -> None:
        if self._wanted <= self._settled:
            self._all_settled.set()

    def _tell(self, key: str, text: str, style: str) -> None:
        server = self._servers[key]
        self._announcer.step(f"{server.model} {server.version}", text, style)
