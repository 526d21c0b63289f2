"""The inference servers: runs a process for each replica that this host has claimed."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path
from time import monotonic

from sqlalchemy.exc import SQLAlchemyError

from gateway.fleet.placement import Placement
from gateway.fleet.scaling import Decision, Scaling
from gateway.fleet.server_logs import ServerLogStore
from gateway.fleet.server_rows import ServerRows
from gateway.fleet.states import Batching, Desired, Phase, State
from gateway.fleet.store import FleetStore, Observation
from gateway.fleet.supervisor_metrics import BootCause, BootMetrics, BootOutcome
from gateway.settings import Settings
from gateway.storage.change_feed import ChangeFeed
from gateway.storage.changes import ChangeKind
from gateway.storage.tables import InferenceServer
from inference_server import running_call
from inference_server.runtime.host import plan_threads
from model_store.store import ModelStore
from slipstream.settings import inference_options
from slipstream.status_printer import StatusPrinter
from slipstream.supervisor.handover import PassedServer
from slipstream.supervisor.leaving import LeavingReplicas
from slipstream.supervisor.loads import Loads
from slipstream.supervisor.memory_use import MemoryUse
from slipstream.supervisor.model_fetcher import ModelFetcher
from slipstream.supervisor.observations import ObservationQueue
from slipstream.supervisor.process import ChildProcess, describe_exit
from slipstream.supervisor.process_manager import ProcessManager
from slipstream.supervisor.reconcile import ProcessState
from slipstream.supervisor.run_together import run_together
from slipstream.supervisor.server_logs import ServerLogs
from slipstream.supervisor.spawner import ServerSpawner
from slipstream.supervisor.status_reader import StatusLine
from slipstream.supervisor.supervisor_lease import SupervisorLease
from telemetry.logs import logger

_FLUSH_SECONDS = 2.0
_RETRY_SECONDS = 0.5
_SCALE_SECONDS = 1.0
"""Between two looks at the load of servers that scale."""
_KEEP_SECONDS = 30.0
"""Between two notes of the models in use: a cache keeps those of the last ten minutes."""
_LOOK_SECONDS = 1.0
"""Between two looks at the leases of other hosts."""
_PAUSE_FACTOR, _MAX_PAUSE_SECONDS = 4, 0.3
"""Changes gather for so many times what a look at all replicas takes, and share the next one: a
thousand servers that start are some thousand changes."""
_SUCCESSOR_SECONDS = 600.0
"""How long a successor may take to become ready; loading and warm-up have limits of their own."""
_CRASHES = frozenset(
    describe_exit(-number)
    for number in (signal.SIGSEGV, signal.SIGFPE, signal.SIGABRT, signal.SIGBUS, signal.SIGILL)
)
"""Ends of a process by what it has computed; SIGKILL and SIGTERM come from outside."""

log = logger("slipstream.supervisor.fleet")


class Fleet:
    """Runs a process for each replica, whose id is its key, and keeps the rows up to date."""

    def __init__(
        self,
        *,
        store: FleetStore,
        server_logs: ServerLogStore,
        models: ModelStore,
        feed: ChangeFeed,
        lease: SupervisorLease,
        placement: Placement,
        scaling: Scaling,
        settings: Settings,
        log_file: Path | None,
        sockets: Path,
        spawner: ServerSpawner,
        printer: StatusPrinter,
        boots: BootMetrics,
        count_exit: Callable[[str], None],
        first_socket: int = 1,
    ) -> None:
        """Serve what this host has claimed; sockets in the folder `sockets` are numbered on."""
        self._store = store
        self._models = models
        self._fetcher = ModelFetcher(models)
        self._lease = lease
        self._placement = placement
        self._scaling = scaling
        self._loads = Loads()
        self._settings = settings
        self._log_file = log_file
        self._sockets = sockets
        self._spawner = spawner
        self._printer = printer
        self._manager = ProcessManager(
            self._spawn,
            self,
            on_idle=self.exited_idle,
            describe=self._describe,
            count_exit=count_exit,
            unresponsive_seconds=settings.unresponsive_seconds,
        )
        self._observations = ObservationQueue(store, lease.held.host_id)
        self._logs = ServerLogs(server_logs, lease.held.host_id)
        self._servers: dict[str, InferenceServer] = {}
        """The server of each replica."""
        self._desired: set[str] = set()
        self._desired_changed = asyncio.Event()
        self._leaving = LeavingReplicas(
            is_busy=self._loads.is_busy,
            call_seconds=settings.infer_timeout_seconds,
            look=self._desired_changed.set,
        )
        self._end_by_themselves: set[str] = set()
        """Replicas whose processes have the idle timeout, because they are the only ones."""
        self._settled: set[str] = set()
        self._all_settled = asyncio.Event()
        self._socket_of: dict[str, Path] = {}
        self._restarts: Counter[str] = Counter()
        self._numbers = count(first_socket)
        self._memory = MemoryUse(lambda: self._manager.pids, self._on_memory)
        self._failures: dict[str, str] = {}
        """Why the latest process of a key has failed."""
        self._boots = boots
        self._booting: dict[str, BootCause] = {}
        """Replicas whose process is not ready yet."""
        self._draining = False
        self._claims = True
        self._followed = asyncio.Event()
        self._rows = ServerRows(
            store,
            feed,
            _only_server,
            self._desired_changed,
            kinds=(ChangeKind.INFERENCE_SERVER,),
        )
        lease.on_change = self._desired_changed.set

    async def run(self) -> None:
        """Run the inference servers until cancelled."""
        await run_together(
            self._follow_desired(),
            self._manager.run(),
            self._observations.run(),
            self._logs.run(),
            self._memory.run(),
            self._keep_models(),
            self._scale(),
        )

    def adopt(
        self,
        passed: Sequence[PassedServer],
        rows: Mapping[str, InferenceServer],
        children: Mapping[str, ChildProcess],
    ) -> None:
        """Go on with the processes of a predecessor; those whose row is gone are stopped."""
        for process in passed:
            key, child = process.key, children[process.key]
            self._socket_of[key] = Path(process.socket)
            self._restarts[key] = process.restarts
            if process.settled:
                self._settled.add(key)
                self._loads.ready(key)
            state = ProcessState(generation=process.generation, failed=process.failed)
            self._manager.adopt(key, child, state)
            if key in rows:
                self._servers[key] = rows[key]
                self._desired.add(key)
        self._manager.set_desired({key: self._servers[key].generation for key in self._desired})

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
        await self._logs.flush(_FLUSH_SECONDS)
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

    def stop_claiming(self) -> None:
        """Leave to other hosts what becomes open from now on."""
        self._claims = False

    async def drain(self, grace: float) -> None:
        """Let every server finish its calls and exit, and write that; `run` must still run."""
        self._fetcher.close()
        await self._manager.drain(grace)
        self._draining = True
        self._desired_changed.set()
        # A query must not be cancelled half-way: SQLAlchemy logs a long traceback for that.
        with suppress(TimeoutError):
            await asyncio.wait_for(self._followed.wait(), _FLUSH_SECONDS)
        await self._observations.flush(_FLUSH_SECONDS)
        await self._logs.flush(_FLUSH_SECONDS)

    def kill(self) -> None:
        """Kill every server."""
        self._manager.kill()

    def spawned(self, key: str, child: ChildProcess) -> None:
        """A server is starting."""
        self._print(key, f"process {child.pid}", "dim")
        self._begin_boot(key)
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
                self._count_boot(key, BootOutcome.READY, seconds)
                self._observations.add(key, state=State.READY, boot_seconds=seconds)
                self._loads.ready(key)
                self._settle(key)
                self._memory.ready(key)
            case "heartbeat":
                self._loads.heard(key, line)
            case "log":
                self._logs.reported(key, line)
            case "failed":
                self._print(key, f"failed: {line['message']}", "red")
                self._count_boot(key, BootOutcome.FAILED)
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
        crashed_call = self._crashed_call(key, reason)
        self._clean_up(key)
        if requested:
            self._booting.pop(key, None)
            self._print(key, "stopped", "dim")
            self._restarts.pop(key, None)
            self._observations.add(key, state=State.STOPPED, reason=None)
        else:
            self._print(key, f"{reason}; started again in {retry_in:.1f} s", "red")
            self._count_boot(key, BootOutcome.ENDED)
            self._restarts[key] += 1
            seen: Observation = {
                "pid": None,
                "address": None,
                "tcp_address": None,
                "metrics_address": None,
                "memory_bytes": None,
                "restarts": self._restarts[key],
            }
            if crashed_call is not None:
                seen["crashed_call"] = crashed_call
            seen.update(self._state_until_restart(key, reason, retry_in))
            self._observations.add(key, **seen)

    def _begin_boot(self, key: str) -> None:
        failed = self._restarts[key] or key in self._failures
        cause = self._booting[key] = BootCause.RESTART if failed else BootCause.START
        if server := self._servers.get(key):
            self._boots.begin(server.model, server.version, cause)

    def _count_boot(self, key: str, outcome: BootOutcome, seconds: float | None = None) -> None:
        """Count the end of a boot, unless it has ended before."""
        cause, server = self._booting.pop(key, None), self._servers.get(key)
        if cause is not None and server is not None:
            self._boots.count(server.model, server.version, cause, outcome)
            if seconds is not None:
                self._boots.observe(server.model, server.version, seconds)

    def _crashed_call(self, key: str, reason: str) -> str | None:
        """Return the id of the call whose run has ended the process; None: no run has."""
        socket = self._socket_of.get(key)
        return running_call.take(socket) if socket and reason in _CRASHES else None

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
        self._print(key, "ended, as it had no calls: the next one starts it", "dim")
        self._restarts.pop(key, None)
        self._observations.add_asleep(key, self._servers[key].generation)

    def removed(self, key: str) -> None:
        """A server is no longer desired and has ended; it may have been waiting for a restart."""
        self._observations.add(key, state=State.STOPPED, reason=None)
        self._restarts.pop(key, None)
        self._servers.pop(key, None)
        self._leaving.forget(key)
        self._logs.forget(key)
        self._desired.discard(key)
        self._settled.discard(key)
        self._booting.pop(key, None)

    def _on_successor(self, key: str, child: ChildProcess, reported: Sequence[StatusLine]) -> None:
        """Write the address of a successor in one step, so that gateways never see none."""
        if key in self._failures:
            self.spawned(key, child)
        fields = {name: value for line in reported for name, value in line.items()}
        seconds = float(fields["boot_seconds"])
        self._booting[key] = BootCause.RELOAD
        self._count_boot(key, BootOutcome.READY, seconds)
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
        self._loads.ready(key)
        self._settle(key)
        self._memory.ready(key)

    async def _spawn(self, key: str) -> ChildProcess:
        server = self._servers[key]
        models = await self._fetch(key, server)
        # A new name each time: a draining server removes its own socket, not its successor's.
        socket = self._socket_of[key] = self._sockets / f"{key[:8]}-{next(self._numbers)}.sock"
        options = inference_options(
            threads=plan_threads(servers=len(self._desired)).intra_op,
            max_message_bytes=self._settings.max_body_bytes,
            grace_seconds=self._settings.drain_seconds,
            log_level=self._settings.log_level,
            log_format=self._settings.log_format,
            **({"log_file": self._log_file} if self._log_file else {}),
        )
        served = ["--store", str(models), "--model", server.model]
        served += ["--version", str(server.version), "--socket", str(socket)]
        if server.batching != Batching.AUTO:
            served += ["--batching", server.batching]
        if server.max_run_seconds is not None:
            served += ["--max-run-seconds", str(server.max_run_seconds)]
        has_others = server.scales or len(server.replicas) > 1
        self._end_by_themselves.discard(key)
        if has_others:
            served += ["--idle-timeout", "0"]  # also where all servers have one
        elif server.idle_seconds is not None:
            served += ["--idle-timeout", str(server.idle_seconds)]
            self._end_by_themselves.add(key)
        group = server.id if has_others else ""
        return await self._spawner.spawn([*served, *options], group=group)

    async def _fetch(self, key: str, server: InferenceServer) -> Path:
        """Have the model on this host; return the store's folder. Raises OSError."""

        def waits() -> None:
            self._print(key, "is being fetched from the model store", "dim")
            self._observations.add(key, state=State.BOOTING, phase=Phase.FETCHING)
            self._settle(key)  # it may take hours, for which nothing else should wait

        try:
            return await self._fetcher.fetch(server.model, server.version, on_wait=waits)
        except OSError as error:
            self._begin_boot(key)
            self._count_boot(key, BootOutcome.NOT_FETCHED)
            self._failures[key] = str(error.strerror)
            self._settle(key)
            raise

    async def _scale(self) -> None:
        """Write the load of what scales, and adapt the servers that this host decides of."""
        while True:
            await asyncio.sleep(_SCALE_SECONDS)
            # While others wait to be written, only the newest load matters, once they are.
            for measured in self._loads.news(
                self._servers, only_calls=not self._observations.is_empty
            ):
                self._observations.put(measured)
            due = {
                server.id
                for key, server in self._servers.items()
                if server.scales
                or (key not in self._end_by_themselves and self._loads.may_sleep(key, server))
            }
            if not due or self._draining:
                continue
            with suppress(SQLAlchemyError, OSError):  # the change feed logs it
                for decision in await self._scaling.decide(due):
                    self._show(decision)

    def _show(self, decision: Decision) -> None:
        server, before, after = decision.server, decision.before, decision.after
        fields = {"model": server.model, "version": server.version}
        if after:
            text = f"replicas: {after} instead of {before}, for {decision.load:.1f} calls at a time"
            log.info("inference_server_scaled", **fields, replicas=after, before=before)
        else:
            text = "its replicas end, as they had no calls: the next one starts them"
            log.info("inference_server_sleeps", **fields)
        self._printer.step(f"{server.model} {server.version}", text, "dim")

    async def _follow_desired(self) -> None:
        self._desired_changed.set()
        while not self._draining:
            changed = self._desired_changed.is_set()
            self._desired_changed.clear()
            began = monotonic()
            try:
                if self._claims:
                    claimed = await self._placement.claim(skip=self._manager.pids.keys())
                    self._rows.note(claimed)
                    changed |= bool(claimed)
                if changed:
                    servers = await self._rows.read()
                    self._set_desired([it for it in servers if it.desired != Desired.STOPPED])
            except (SQLAlchemyError, OSError):  # the change feed has logged it already
                self._desired_changed.set()
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                took = monotonic() - began
                await asyncio.sleep(min(_PAUSE_FACTOR * took, _MAX_PAUSE_SECONDS))
            await self._until_due()
        self._followed.set()

    async def _until_due(self) -> None:
        """Return when something has changed, or leases of other hosts may have ended."""
        looks = self._claims and (self._lease.has_others or self._placement.has_open)
        with suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_SECONDS if looks else None):
                await self._desired_changed.wait()

    def _set_desired(self, known: Sequence[InferenceServer]) -> None:
        servers = {
            replica.id: server
            for server in known
            for replica in server.replicas
            if replica.host_id == self._lease.held.host_id and server.desired == Desired.RUNNING
        }
        known_ids = {server.id for server in known}  # the others are to end: a user wants it
        self._leaving.update(
            self._desired - servers.keys(),
            may_stay=lambda key: key not in servers and self._servers[key].id in known_ids,
        )
        self._desired = set(servers)
        self._servers |= servers
        kept = {key: self._servers[key] for key in (*servers, *self._leaving)}
        self._manager.set_desired({key: server.generation for key, server in kept.items()})
        self._check_settled()

    async def _keep_models(self) -> None:
        """Keep what is served from being evicted of the host's cache."""
        while True:
            served = [self._servers[key] for key in self._manager.pids if key in self._servers]
            await asyncio.to_thread(self._note_use, served)
            await asyncio.sleep(_KEEP_SECONDS)

    def _note_use(self, servers: Sequence[InferenceServer]) -> None:
        for server in servers:
            self._models.note_use(server.model, server.version)

    def _on_memory(self, key: str, memory_bytes: int) -> None:
        self._observations.add(key, memory_bytes=memory_bytes)

    def _clean_up(self, key: str) -> None:
        self._memory.forget(key)
        self._loads.forget(key)
        if socket := self._socket_of.pop(key, None):
            socket.unlink(missing_ok=True)  # a killed server leaves it behind
            running_call.remove(socket)

    def _settle(self, key: str) -> None:
        self._settled.add(key)
        self._check_settled()

    def _check_settled(self) -> None:
        if self._desired <= self._settled:
            self._all_settled.set()

    def _print(self, key: str, text: str, style: str) -> None:
        self._logs.add(key, text, level="error" if style == "red" else "info")
        self._printer.step(self._title(key), text, style)

    def _describe(self, key: str) -> dict[str, object]:
        """Return what log lines say of a replica."""
        server = self._servers.get(key)
        about = {} if server is None else {"model": server.model, "version": server.version}
        return {"name": self._title(key), **about}

    def _title(self, key: str) -> str:
        server = self._servers.get(key)
        if server is None:  # its row was deleted before a reload
            return "inference server"
        title = f"{server.model} {server.version}"
        slots = [replica.slot for replica in server.replicas if replica.id == key]
        return f"{title} replica {slots[0]}" if len(server.replicas) > 1 else title


def _only_server(server: InferenceServer, _: object) -> InferenceServer:
    return server
