"""The inference servers: runs a process for each row of the database that wants one."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path

import psutil
from sqlalchemy.exc import SQLAlchemyError

from gateway.fleet.states import Phase, State
from gateway.fleet.store import FleetStore, Observation
from gateway.settings import Settings
from gateway.storage.changes import ChangeFeed, ChangeKind
from gateway.storage.tables import InferenceServer
from inference_server.runtime.host import plan_threads
from slipstream.settings import inference_options
from slipstream.status_printer import StatusPrinter
from slipstream.supervisor.handover import PassedServer
from slipstream.supervisor.observations import ObservationQueue
from slipstream.supervisor.process import ChildProcess
from slipstream.supervisor.process_manager import ProcessManager
from slipstream.supervisor.reconcile import ProcessState
from slipstream.supervisor.run_together import run_together
from slipstream.supervisor.spawner import ServerSpawner
from slipstream.supervisor.status_reader import StatusLine

_MEMORY_SECONDS = 5.0
_FLUSH_SECONDS = 2.0
_RETRY_SECONDS = 0.5
_SUCCESSOR_SECONDS = 600.0
"""How long a successor may take to become ready; loading and warm-up have limits of their own."""


class Fleet:
    """Runs a process for each row that wants one, and keeps the rows up to date."""

    def __init__(
        self,
        *,
        store: FleetStore,
        feed: ChangeFeed,
        settings: Settings,
        sockets: Path,
        spawner: ServerSpawner,
        printer: StatusPrinter,
        first_socket: int = 1,
    ) -> None:
        """Serve what `store` wants; sockets in the folder `sockets` are numbered on."""
        self._store = store
        self._settings = settings
        self._sockets = sockets
        self._spawner = spawner
        self._printer = printer
        self._manager = ProcessManager(
            self._spawn,
            self,
            on_idle=self.exited_idle,
            unresponsive_seconds=settings.unresponsive_seconds,
        )
        self._observations = ObservationQueue(store)
        self._servers: dict[str, InferenceServer] = {}
        self._desired: set[str] = set()
        self._settled: set[str] = set()
        self._all_settled = asyncio.Event()
        self._socket_of: dict[str, Path] = {}
        self._restarts: Counter[str] = Counter()
        self._numbers = count(first_socket)
        self._memory_bytes: dict[str, int] = {}
        self._failures: dict[str, str] = {}
        """Why the latest process of a key has failed."""
        self._desired_changed = asyncio.Event()
        self._measure_now = asyncio.Event()
        self._draining = False
        self._followed = asyncio.Event()
        feed.subscribe(ChangeKind.INFERENCE_SERVER, lambda _: self._desired_changed.set())

    async def run(self) -> None:
        """Run the inference servers until cancelled."""
        await run_together(
            self._follow_desired(),
            self._manager.run(),
            self._observations.run(),
            self._measure_memory(),
        )

    def adopt(
        self,
        passed: Sequence[PassedServer],
        rows: Mapping[str, InferenceServer],
        children: Mapping[str, ChildProcess],
    ) -> list[ChildProcess]:
        """Go on with the servers of a predecessor; return those whose row is gone, killed."""
        orphans: list[ChildProcess] = []
        for process in passed:
            key, child = process.key, children[process.key]
            self._socket_of[key] = Path(process.socket)
            self._restarts[key] = process.restarts
            if process.settled:
                self._settled.add(key)
            state = ProcessState(generation=process.generation, failed=process.failed)
            if key in rows:
                self._servers[key] = rows[key]
                self._desired.add(key)
                self._manager.adopt(key, child, state)
            else:
                child.kill()
                orphans.append(child)
        self._manager.set_desired({key: self._servers[key].generation for key in self._desired})
        return orphans

    async def detach(self) -> tuple[list[PassedServer], int]:
        """Let go of the servers, and write what has been observed of them until now.

        Returns the servers, and how many names of sockets have been used.
        """
        self._draining = True
        self._desired_changed.set()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._followed.wait(), _FLUSH_SECONDS)
        found = await self._manager.detach()
        await self._observations.flush(_FLUSH_SECONDS)
        passed = [
            PassedServer(
                key=key,
                pid=child.pid,
                status_fd=child.status_fd,
                started_at=child.started_at,
                generation=state.generation,
                failed=state.failed,
                settled=key in self._settled,
                restarts=self._restarts[key],
                socket=str(self._socket_of[key]),
                lifeline_fd=child.lifeline_fd,
            )
            for key, (child, state) in found.items()
        ]
        return passed, next(self._numbers)

    async def replace_all(self) -> None:
        """Replace the servers, one after the other, each when its successor is ready.

        Returns when the old ones have ended.
        """
        for key in self._manager.pids:
            socket = self._socket_of.get(key)
            replaced = await self._manager.replace(
                key,
                partial(self._on_successor, key),
                ready_seconds=_SUCCESSOR_SECONDS,
                grace=self._settings.drain_seconds + _FLUSH_SECONDS,
            )
            if not replaced and socket is not None and key in self._servers:
                self._socket_of[key] = socket
                self._print(key, "not replaced: its successor does not become ready", "red")
        await self._manager.replaced_ended()

    async def settled(self) -> None:
        """Return once every desired server is ready or has failed."""
        await self._all_settled.wait()

    async def drain(self, grace: float) -> None:
        """Let every server finish its calls and exit, and write that; `run` must still run."""
        await self._manager.drain(grace)
        self._draining = True
        self._desired_changed.set()
        # A query must not be cancelled half-way: SQLAlchemy logs a long traceback for that.
        with suppress(TimeoutError):
            await asyncio.wait_for(self._followed.wait(), _FLUSH_SECONDS)
        await self._observations.flush(_FLUSH_SECONDS)

    def kill(self) -> None:
        """Kill every server."""
        self._manager.kill()

    def spawned(self, key: str, child: ChildProcess) -> None:
        """A server is starting."""
        self._print(key, f"process {child.pid}", "dim")
        self._failures.pop(key, None)
        self._observations.add(
            key,
            state=State.BOOTING,
            phase=Phase.SPAWNING,
            pid=child.pid,
            address=None,
            tcp_address=None,
            metrics_address=None,
            restarts=self._restarts[key],
        )

    def reported(self, key: str, line: StatusLine) -> None:
        """A server has reported its addresses or its phase."""
        match line["event"]:
            case "listening":
                self._observations.add(
                    key,
                    address=line["address"],
                    tcp_address=line.get("tcp_address"),
                    metrics_address=line.get("metrics_address"),
                )
            case "phase":
                self._print(key, str(line["phase"]), "dim")
                self._observations.add(key, state=State.BOOTING, phase=Phase(line["phase"]))
            case "ready":
                seconds = float(line["boot_seconds"])
                self._print(key, f"ready after {seconds:.2f} s", "green")
                self._observations.add(key, state=State.READY, boot_seconds=seconds)
                self._settle(key)
                self._measure_now.set()
            case "failed":
                self._print(key, f"failed: {line['message']}", "red")
                self._failures[key] = str(line["message"])
                self._observations.add(key, state=State.FAILED, reason=self._failures[key])
                self._settle(key)
            case "unresponsive" | "stuck" if key not in self._failures:
                self._print(key, f"unresponsive: {line['message']}", "red")
                self._observations.add(
                    key,
                    state=State.UNRESPONSIVE,
                    address=None,
                    tcp_address=None,
                    metrics_address=None,
                    reason=str(line["message"]),
                )
            case "draining":
                self._observations.add(key, state=State.DRAINING)

    def exited(self, key: str, *, requested: bool, reason: str, retry_in: float) -> None:
        """A server has ended."""
        self._clean_up(key)
        if requested:
            self._print(key, "stopped", "dim")
            self._restarts.pop(key, None)
            self._observations.add(key, state=State.STOPPED, reason=None)
        else:
            self._print(key, f"{reason}; started again in {retry_in:.1f} s", "red")
            self._restarts[key] += 1
            seen: Observation = {
                "pid": None,
                "address": None,
                "tcp_address": None,
                "metrics_address": None,
                "memory_bytes": None,
                "restarts": self._restarts[key],
            }
            seen.update(self._state_until_restart(key, reason, retry_in))
            self._observations.add(key, **seen)

    def _state_until_restart(self, key: str, reason: str, retry_in: float) -> Observation:
        """Return the state of a server without a process, between two attempts."""
        if failure := self._failures.get(key):
            reason = f"{failure}; the next attempt begins in {retry_in:.0f} s"
            return {"state": State.FAILED, "reason": reason}
        reason = f"the process {reason}"
        return {"state": State.BOOTING, "phase": Phase.SPAWNING, "reason": reason}

    def exited_idle(self, key: str) -> None:
        """A server has ended because it was idle; the next call wakes it."""
        self._clean_up(key)
        self._print(key, "asleep until the next call", "dim")
        self._restarts.pop(key, None)
        self._observations.add_asleep(key, self._servers[key].generation)

    def removed(self, key: str) -> None:
        """A server is no longer desired and has ended; it may have been waiting for a restart."""
        self._observations.add(key, state=State.STOPPED, reason=None)
        self._restarts.pop(key, None)
        self._servers.pop(key, None)
        self._settled.discard(key)

    def _on_successor(self, key: str, child: ChildProcess, reported: Sequence[StatusLine]) -> None:
        """Write the address of a successor in one step, so that gateways never see none."""
        if key in self._failures:
            self.spawned(key, child)
        fields = {name: value for line in reported for name, value in line.items()}
        seconds = float(fields["boot_seconds"])
        self._print(key, f"replaced by process {child.pid} after {seconds:.2f} s", "green")
        self._observations.add(
            key,
            state=State.READY,
            pid=child.pid,
            address=fields["address"],
            tcp_address=fields.get("tcp_address"),
            metrics_address=fields.get("metrics_address"),
            boot_seconds=seconds,
        )
        self._settle(key)
        self._measure_now.set()

    async def _spawn(self, key: str) -> ChildProcess:
        server = self._servers[key]
        # A new name each time: a draining server removes its own socket, not its successor's.
        socket = self._socket_of[key] = self._sockets / f"{key[:8]}-{next(self._numbers)}.sock"
        options = inference_options(
            threads=plan_threads(servers=len(self._desired)).intra_op,
            max_message_bytes=self._settings.max_body_bytes,
            grace_seconds=self._settings.drain_seconds,
            log_level=self._settings.log_level,
            log_format=self._settings.log_format,
        )
        served = ["--store", str(self._settings.models), "--model", server.model]
        served += ["--version", str(server.version), "--socket", str(socket)]
        if server.idle_timeout_seconds is not None:
            served += ["--idle-timeout", str(server.idle_timeout_seconds)]
        return await self._spawner.spawn([*served, *options])

    async def _follow_desired(self) -> None:
        while not self._draining:
            self._desired_changed.clear()
            try:
                wanted = await self._store.desired_running()
            except (SQLAlchemyError, OSError):  # the change feed has logged it already
                self._desired_changed.set()
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                self._set_desired(wanted)
            await self._desired_changed.wait()
        self._followed.set()

    def _set_desired(self, wanted: Sequence[InferenceServer]) -> None:
        self._desired = {server.id for server in wanted}
        self._servers |= {server.id: server for server in wanted}
        self._manager.set_desired({server.id: server.generation for server in wanted})
        self._check_settled()

    async def _measure_memory(self) -> None:
        while True:
            self._measure_now.clear()
            pids = self._manager.pids
            sharing = Counter(pids.values())
            for key, pid in pids.items():
                memory_bytes = (await asyncio.to_thread(memory_of, pid) or 0) // sharing[pid]
                # Changes of up to 1 % are not worth a write.
                if (
                    memory_bytes
                    and abs(memory_bytes - self._memory_bytes.get(key, 0)) > memory_bytes / 100
                ):
                    self._memory_bytes[key] = memory_bytes
                    self._observations.add(key, memory_bytes=memory_bytes)
            with suppress(TimeoutError):
                async with asyncio.timeout(_MEMORY_SECONDS):
                    await self._measure_now.wait()

    def _clean_up(self, key: str) -> None:
        self._memory_bytes.pop(key, None)
        if socket := self._socket_of.pop(key, None):
            socket.unlink(missing_ok=True)  # a killed server leaves it behind

    def _settle(self, key: str) -> None:
        self._settled.add(key)
        self._check_settled()

    def _check_settled(self) -> None:
        if self._desired <= self._settled:
            self._all_settled.set()

    def _print(self, key: str, text: str, style: str) -> None:
        server = self._servers[key]
        self._printer.step(f"{server.model} {server.version}", text, style)


def memory_of(pid: int) -> int | None:
    """Return the memory of a process in bytes, or None if it has ended.

    Shared pages count proportionally (PSS) if the kernel reports that, else in full.
    """
    try:
        process = psutil.Process(pid)
        try:
            proportional: int = process.memory_full_info().pss
        except (AttributeError, psutil.AccessDenied):
            return int(process.memory_info().rss)
        else:
            return proportional
    except psutil.Error:
        return None
