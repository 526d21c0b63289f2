"""Runs one process for each desired key; `reconcile` decides what to start and stop.

A process that has sent a heartbeat and then nothing for a while is killed and restarted, whatever
keeps it: SIGKILL ends stopped processes, too.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Protocol

from gateway.fleet.states import State
from inference_server.spawn import ServerExitStatus
from slipstream.supervisor.heartbeats import HeartbeatWatch
from slipstream.supervisor.process import ChildProcess, describe_exit, exit_fields
from slipstream.supervisor.reconcile import (
    Action,
    Forget,
    ProcessState,
    Start,
    Stop,
    after_exit,
    after_idle_exit,
    next_restart_at,
    reconcile,
)
from slipstream.supervisor.status_reader import StatusLine, StatusReader
from telemetry.logs import logger

UNRESPONSIVE_SECONDS = 5.0
"""Silence after which a process is replaced, unless set otherwise."""
SWITCH_SECONDS = 3.0
"""Between the readiness of a successor and the end of the process before it, see `replace`."""
_START_SECONDS = 20.0
"""How long to wait for processes that are being started before all are let go."""
_DETACH_SECONDS = 2.0

log = logger("slipstream.supervisor.process_manager")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessStatus:
    """What is known of a process that is desired, or is ending."""

    state: State
    reason: str | None = None
    """Why it is in that state, or why there is no process, where it has said so."""
    pid: int | None = None


OnReady = Callable[[ChildProcess, Sequence[StatusLine]], None]
"""Takes a process and what it has reported until it was ready."""


class ProcessListener(Protocol):
    """Called on the event loop, in order, with what happens to the processes. Must not block."""

    def spawned(self, key: str, child: ChildProcess) -> None:
        """A process has been started for `key`."""

    def reported(self, key: str, line: StatusLine) -> None:
        """The process has reported a status line.

        The manager adds `unresponsive`, with a `message`, before it kills a silent process.
        """

    def exited(self, key: str, *, requested: bool, reason: str, retry_in: float) -> None:
        """The process has ended; unless that was requested, it restarts in `retry_in` seconds."""

    def removed(self, key: str) -> None:
        """The key is no longer desired, and its process has ended."""


class ProcessManager:
    """Owns the processes of one kind. `set_desired` may be called at any time; `run` acts on it."""

    def __init__(
        self,
        spawn: Callable[[str], Awaitable[ChildProcess]],
        listener: ProcessListener,
        *,
        running: Mapping[str, ChildProcess] | None = None,
        on_idle: Callable[[str], None] | None = None,
        describe: Callable[[str], Mapping[str, object]] = lambda key: {"name": key},
        count_exit: Callable[[str], None] = lambda _: None,
        unresponsive_seconds: float = UNRESPONSIVE_SECONDS,
    ) -> None:
        """Start processes with `spawn`, and report to `listener`.

        Args:
            spawn: starts a process for a key.
            listener: is told what happens to them.
            running: processes that run already; their generation is 1.
            on_idle: called instead of `exited` when one ends with ExitStatus.IDLE.
            describe: what log lines say of the process of a key.
            count_exit: told why each process has ended, in one word, see `SupervisorMetrics`.
            unresponsive_seconds: silence after which a process is killed.
        """
        self._spawn = spawn
        self._listener = listener
        self._on_idle_exit = on_idle
        self._describe = describe
        self._count_exit = count_exit
        self._desired: dict[str, int] = {}
        self._states: dict[str, ProcessState] = {}
        self._children: dict[str, ChildProcess] = {}
        self._monitors: dict[str, asyncio.Task[None]] = {}
        self._heartbeats = HeartbeatWatch(unresponsive_seconds, self._on_silence)
        self._outgoing: set[asyncio.Task[None]] = set()
        """The ends of processes that have been replaced."""
        self._pipes: dict[str, StatusReader] = {}
        self._detaching = False
        self._statuses: dict[str, ProcessStatus] = {}
        self._end_reasons: dict[str, tuple[str, str]] = {}
        """Why processes end, in one word and as text, where their exit status does not say it."""
        self._changed = asyncio.Event()
        self._closed = False
        self._killed = False
        for key, child in (running or {}).items():
            self._states[key] = ProcessState(generation=1)
            self._attach(key, child)
            self._monitors[key] = asyncio.create_task(self._monitor(key, child))

    def adopt(self, key: str, child: ChildProcess, state: ProcessState) -> None:
        """Go on with a process of a manager that `detach` has ended; it is not reported again."""
        self._states[key] = state
        self._children[key] = child
        self._set_status(key, State.FAILED if state.failed else State.READY)
        self._heartbeats.started(key, child.pid)
        self._monitors[key] = asyncio.create_task(self._monitor(key, child))

    @property
    def pids(self) -> dict[str, int]:
        """Process ids by key."""
        return {key: child.pid for key, child in self._children.items()}

    @property
    def statuses(self) -> Mapping[str, ProcessStatus]:
        """The state of each process, by key; adopted ones count as ready until they change."""
        return self._statuses

    def set_desired(self, desired: Mapping[str, int]) -> None:
        """Set what should run: key → generation. Ignored after `drain` and `kill`."""
        self._desired = {} if self._closed else dict(desired)
        self._changed.set()

    async def run(self) -> None:
        """Start and stop processes as desired and replace silent ones, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._heartbeats.run())
            await self._follow_desired()

    async def _follow_desired(self) -> None:
        while True:
            self._changed.clear()
            self._reconcile()
            due = next_restart_at(self._desired, self._states)
            seconds = None if due is None else max(0.0, due - time.monotonic())
            # Not wait_for: before Python 3.12 that can swallow a cancellation.
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._changed.wait()

    async def replace(
        self,
        key: str,
        on_ready: OnReady,
        *,
        ready_seconds: float,
        grace: float,
        switch_seconds: float = SWITCH_SECONDS,
    ) -> bool:
        """Start a successor of a process, and tell the process to end once that is ready.

        Returns False, and everything goes on as before, if the successor does not become ready.

        Args:
            key: of the process.
            on_ready: told, in place of the listener, what the successor reported until it was
                ready.
            ready_seconds: how long that may take.
            grace: what the process has to end, `switch_seconds` later.
            switch_seconds: what users of the process have to learn of the successor and to connect
                to it.
        """
        before = self._children.get(key)
        if before is None:
            return False
        try:
            child = await self._spawn(key)
        except OSError:
            return False
        pipe = await StatusReader.open(child)
        try:
            reported = await pipe.until_ready(ready_seconds)
        except BaseException:
            child.kill()
            raise
        wanted = key in self._desired and self._children.get(key) is before
        if reported is None or not wanted or self._states[key].stopping:
            pipe.close()
            child.kill()
            await asyncio.to_thread(child.wait)
            return False
        self._states[key] = ProcessState(generation=self._desired[key])
        self._children[key] = child
        self._set_status(key, State.READY)
        self._heartbeats.started(key, child.pid)
        end = self._end_replaced(before, self._monitors[key], switch_seconds, grace)
        ending = asyncio.create_task(end)
        self._outgoing.add(ending)
        ending.add_done_callback(self._outgoing.discard)
        self._monitors[key] = asyncio.create_task(self._follow(key, child, pipe))
        on_ready(child, reported)
        return True

    async def replaced_ended(self) -> None:
        """Return when all processes that `replace` has replaced until now have ended."""
        await asyncio.gather(*self._outgoing, return_exceptions=True)

    async def detach(self) -> dict[str, tuple[ChildProcess, ProcessState]]:
        """Let go of the processes, which go on: another manager is to `adopt` them.

        What they have reported until now is passed to the listener.
        """
        self._detaching = self._closed = True
        starting = [task for key, task in self._monitors.items() if key not in self._children]
        if starting or self._outgoing:
            await asyncio.wait([*starting, *self._outgoing], timeout=_START_SECONDS)
        for pipe in self._pipes.values():
            pipe.stop()
        if self._monitors:
            await asyncio.wait(self._monitors.values(), timeout=_DETACH_SECONDS)
        return {
            key: (child, self._states[key])
            for key, child in self._children.items()
            if key in self._pipes
        }

    def announce_stop(self) -> None:
        """Tell every process that it is going to end: see ChildProcess."""
        for child in self._children.values():
            child.announce_stop()

    async def drain(self, grace: float) -> None:
        """Stop every process; kill those that still run after `grace` seconds."""
        self._close()
        self._reconcile()
        if self._monitors:
            await asyncio.wait(self._monitors.values(), timeout=grace)
        self.kill()
        await asyncio.gather(*self._monitors.values())
        await asyncio.gather(*self._outgoing, return_exceptions=True)
        self._reconcile()

    def kill(self) -> None:
        """Kill every process and start none again."""
        self._close()
        self._killed = True
        for child in self._children.values():
            child.kill()

    def _close(self) -> None:
        self._closed = True
        self.set_desired({})
        for ending in self._outgoing:
            ending.cancel()  # kills its process

    def _reconcile(self) -> None:
        for action in reconcile(self._desired, self._states, time.monotonic()):
            self._act(action)

    def _act(self, action: Action) -> None:
        key = action.key
        match action:
            case Start():
                self._start(key)
            case Stop():
                self._states[key] = replace(self._states[key], stopping=True)
                if child := self._children.get(key):
                    self._statuses[key] = ProcessStatus(state=State.DRAINING, pid=child.pid)
                    child.terminate()
            case Forget():
                del self._states[key]
                self._statuses.pop(key, None)
                self._listener.removed(key)

    def _start(self, key: str) -> None:
        generation = self._desired[key]
        before = self._states.get(key)
        crashes = before.crashes if before and before.generation == generation else 0
        self._states[key] = ProcessState(generation=generation, crashes=crashes)
        self._monitors[key] = asyncio.create_task(
            self._spawn_and_monitor(key), name=f"follow {key}"
        )

    async def _spawn_and_monitor(self, key: str) -> None:
        try:
            child = await self._spawn(key)
        except OSError as error:
            del self._monitors[key]
            reason = f"could not be started ({error.strerror})"
            self._count_exit("not_started")
            self._on_exit(key, "process_not_started", reason, {}, ran_for=0.0)
        else:
            self._attach(key, child)
            await self._monitor(key, child)

    def _attach(self, key: str, child: ChildProcess) -> None:
        self._children[key] = child
        self._statuses[key] = ProcessStatus(state=State.BOOTING, pid=child.pid)
        self._heartbeats.started(key, child.pid)
        self._listener.spawned(key, child)
        # A stop may have been requested while it was starting.
        if self._killed:
            child.kill()
        elif self._states[key].stopping:
            child.terminate()

    async def _monitor(self, key: str, child: ChildProcess) -> None:
        await self._follow(key, child, await StatusReader.open(child))

    async def _follow(self, key: str, child: ChildProcess, pipe: StatusReader) -> None:
        self._pipes[key] = pipe
        if self._detaching:
            pipe.stop()
        async for line in pipe.lines:
            if self._children.get(key) is not child:
                continue  # it has been replaced
            try:
                self._on_status_line(key, json.loads(line))
            except (ValueError, KeyError, TypeError):
                # A process that is killed while it writes leaves half a line.
                log.warning("status_line_ignored", key=key, line=line.decode(errors="replace"))
        if pipe.stopped:
            return  # `detach` has let it go
        if self._pipes.get(key) is pipe:
            del self._pipes[key]
        pipe.close()
        status = await asyncio.to_thread(child.wait)
        if self._children.get(key) is not child:
            return
        del self._children[key], self._monitors[key]
        self._heartbeats.forget(key)
        fields = exit_fields(status)
        by_status = str(fields.get("signal", "exited")), describe_exit(status)
        in_a_word, reason = self._end_reasons.pop(key, by_status)
        requested = self._states[key].stopping or self._closed
        fields = {"pid": child.pid, **fields}
        if self._on_idle_exit and status == ServerExitStatus.IDLE and not requested:
            self._count_exit("idle")
            log.info("process_exited", **self._describe(key), **fields, reason="idle")
            self._on_idle(key, self._on_idle_exit)
        else:
            ran_for = time.monotonic() - child.started_at
            self._count_exit("requested" if requested else in_a_word)
            self._on_exit(key, "process_exited", reason, fields, ran_for=ran_for)

    async def _end_replaced(
        self,
        child: ChildProcess,
        monitor: asyncio.Task[None],
        switch_seconds: float,
        grace: float,
    ) -> None:
        try:
            await asyncio.sleep(switch_seconds)
            child.terminate()
            await asyncio.wait([monitor], timeout=grace)
        finally:
            child.kill()

    def _on_status_line(self, key: str, line: StatusLine) -> None:
        match line["event"]:
            case "heartbeat":
                self._heartbeats.heard(key)
            case "ready" if not self._states[key].stopping:
                self._set_status(key, State.READY)
            case "failed":
                self._states[key] = replace(self._states[key], failed=True)
                self._set_status(key, State.FAILED, str(line["message"]))
                self._changed.set()
            case "stuck":
                self._end_reasons[key] = "stuck", f"ended itself: {line['message']}"
        self._listener.reported(key, line)

    def _set_status(self, key: str, state: State, reason: str | None = None) -> None:
        pid = self._children[key].pid
        self._statuses[key] = ProcessStatus(state=state, reason=reason, pid=pid)

    def _on_silence(self, key: str, seconds: float) -> None:
        message = f"no heartbeat for {seconds:.1f} s"
        self._end_reasons[key] = "unresponsive", f"was killed: {message}"
        pid = self._children[key].pid
        log.error("process_unresponsive", **self._describe(key), pid=pid, reason=message)
        self._set_status(key, State.UNRESPONSIVE, message)
        self._listener.reported(key, {"event": "unresponsive", "message": message})
        self._children[key].kill()

    def _on_idle(self, key: str, on_idle: Callable[[str], None]) -> None:
        self._statuses.pop(key, None)
        self._states[key] = after_idle_exit(self._states[key], desired=self._desired.get(key))
        on_idle(key)
        self._changed.set()

    def _on_exit(
        self, key: str, event: str, reason: str, about: Mapping[str, object], *, ran_for: float
    ) -> None:
        """Note and report the end of a process, and log it as `event` with fields `about` it."""
        now = time.monotonic()
        before = self._states[key]
        after = self._states[key] = after_exit(before, ran_for=ran_for, now=now)
        requested = before.stopping or self._closed
        status = self._statuses.pop(key, None)
        if status is not None and status.state is State.FAILED:
            self._statuses[key] = replace(status, pid=None)
        elif not requested:
            why = f"the process before it {reason}"
            self._statuses[key] = ProcessStatus(state=State.BOOTING, reason=why)
        retry_in = after.retry_at - now
        fields = {**self._describe(key), **about, "reason": reason}
        if status is not None and status.state is State.FAILED:
            fields["failure"] = status.reason
        self._listener.exited(key, requested=requested, reason=reason, retry_in=retry_in)
        if key in self._desired:  # the listener may have ended that
            fields["restart_in_seconds"] = round(retry_in, 1)
        if requested:
            log.info(event, **fields)
        else:
            log.warning(event, **fields)
        self._changed.set()
