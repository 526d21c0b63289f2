"""The parent of a worker's lanes. Single-threaded, so that it can fork at any time."""

from __future__ import annotations

import os
import selectors
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import FrameType
from typing import NoReturn

from gateway.broker.heartbeat_file import HeartbeatFile, WorkerHeartbeat
from gateway.worker.crew import WorkerProcess
from gateway.worker.plan import QueueWorkerPlan
from gateway.worker.queue_worker import Pipes
from telemetry.logs import logger
from telemetry.parent_process import StatusPipe

_TICK_SECONDS = 1.0
_ABORT_SECONDS = 4.0
"""What children have to hand their runs back, before everything is killed."""
_PARENT_DIED = 1
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)

log = logger("gateway.worker.foreman")

RunQueueWorker = Callable[[QueueWorkerPlan, Pipes], int]
"""What a lane's process does with its life; returns its exit status."""


class WorkerManager:
    """Keeps one process for each lane, until a signal or the end of its own parent."""

    def __init__(
        self,
        lanes: Sequence[QueueWorkerPlan],
        live: RunQueueWorker,
        *,
        report: StatusPipe,
        heartbeat: HeartbeatFile,
        lifeline_fd: int | None,
        inherited: Sequence[int],
        grace_seconds: float,
        idle_seconds: float | None,
    ) -> None:
        """Run `live` in each; tell the parent through `report` and the machine by `heartbeat`.

        `inherited` are descriptors that lanes have no use for. Runs may go on for `grace_seconds`
        after SIGTERM, and are handed back then.
        """
        self._crews = [WorkerProcess(plan) for plan in lanes]
        self._retired: list[WorkerProcess] = []
        self._live = live
        self._report = report
        self._heartbeat_file = heartbeat
        self._lifeline_fd = lifeline_fd
        self._inherited = inherited
        self._grace_seconds = grace_seconds
        self._idle_seconds = idle_seconds
        self._lifeline = os.pipe()
        self._hurry = os.pipe()
        self._wakeup = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._stop_signals = 0
        self._stopping_at: float | None = None
        self._hurry_until: float | None = None
        self._ready = False
        self._active_at = time.monotonic()

    def run(self) -> int:
        """Return the exit status once everything has ended."""
        self._listen()
        while self._stopping_at is None or self._alive():
            self._start_due()
            for key, _ in self._selector.select(self._pause()):
                key.data()
            self._reap()
            self._mind_retired()
            self._mind_stop()
            self._tell()
        self._heartbeat_file.remove()
        return 0

    def _listen(self) -> None:
        for end in self._wakeup:
            end.setblocking(False)
        for number in _SIGNALS:
            signal.signal(number, self._signalled)
        signal.set_wakeup_fd(self._wakeup[1].fileno(), warn_on_full_buffer=False)
        self._selector.register(self._wakeup[0], selectors.EVENT_READ, self._awake)
        if self._lifeline_fd is not None:
            self._selector.register(self._lifeline_fd, selectors.EVENT_READ, self._orphaned)

    def _signalled(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGCHLD:
            return
        if number == signal.SIGINT and self._lifeline_fd is not None:
            return  # Ctrl-C is the supervisor's business: it tells us what to do
        self._stop_signals += 1

    def _awake(self) -> None:
        with suppress(BlockingIOError):
            while self._wakeup[0].recv(4096):
                pass

    def _orphaned(self) -> None:
        assert self._lifeline_fd is not None
        if not os.read(self._lifeline_fd, 1):
            self._kill_all()
            os._exit(_PARENT_DIED)

    def _alive(self) -> bool:
        return any(crew.pid for crew in (*self._crews, *self._retired))

    def _pause(self) -> float:
        now = time.monotonic()
        due = [crew.start_at - now for crew in self._crews if not crew.pid]
        return max(0.0, min([_TICK_SECONDS, *due])) if self._stopping_at is None else 0.1

    def _start_due(self) -> None:
        if self._stopping_at is not None or self._stop_signals:
            return
        for crew in self._crews:
            if not crew.pid and time.monotonic() >= crew.start_at:
                self._fork(crew)

    def _fork(self, crew: WorkerProcess) -> None:
        read_fd, write_fd = os.pipe()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            os.close(read_fd)
            self._become(crew.plan, write_fd)
        os.close(write_fd)
        os.set_blocking(read_fd, False)
        with suppress(OSError):  # it has done so itself already
            os.setpgid(pid, pid)
        crew.begin(pid, read_fd)
        self._selector.register(read_fd, selectors.EVENT_READ, lambda: self._hear(crew))

    def _become(self, plan: QueueWorkerPlan, status_fd: int) -> NoReturn:
        """Turn the forked process into a lane; it never comes back from here."""
        status = 1
        try:
            os.setpgid(0, 0)
            signal.set_wakeup_fd(-1)
            for number in _SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            self._selector.close()
            for crew in (*self._crews, *self._retired):
                crew.close()
            for end in self._wakeup:
                end.close()
            os.close(self._lifeline[1])
            os.close(self._hurry[1])
            for inherited in self._inherited:
                os.close(inherited)
            ends = Pipes(
                status_fd=status_fd, lifeline_fd=self._lifeline[0], hurry_fd=self._hurry[0]
            )
            status = self._live(plan, ends)
        except BaseException:  # noqa: BLE001 - it ends here, and says why
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)

    def _hear(self, crew: WorkerProcess) -> None:
        for event in crew.read():
            if event == "stalled" and crew in self._crews:
                self._replace(crew)

    def _replace(self, crew: WorkerProcess) -> None:
        """Start another in its place at once; this one may finish what it has."""
        log.warning("lane_replaced", plan=crew.plan.name, pid=crew.pid)
        crew.retire()
        self._retired.append(crew)
        self._crews[self._crews.index(crew)] = WorkerProcess(crew.plan)

    def _reap(self) -> None:
        for crew in (*self._crews, *self._retired):
            if not crew.pid:
                continue
            pid, status = os.waitpid(crew.pid, os.WNOHANG)
            if pid:
                crew.signal_group(signal.SIGKILL)  # its children end with it
                how = os.waitstatus_to_exitcode(status)
                if self._stopping_at is None and crew in self._crews:
                    log.warning("lane_ended", plan=crew.plan.name, pid=pid, status=how)
                self._forget_pipe(crew)
                crew.end()
        self._retired = [crew for crew in self._retired if crew.pid]

    def _forget_pipe(self, crew: WorkerProcess) -> None:
        if crew.status_fd is not None:
            self._selector.unregister(crew.status_fd)
            crew.close()

    def _mind_retired(self) -> None:
        for crew in self._retired:
            if crew.may_be_killed():
                crew.signal_group(signal.SIGKILL)

    def _mind_stop(self) -> None:
        if not self._stop_signals:
            return
        now = time.monotonic()
        if self._stopping_at is None:
            self._stopping_at = now
            self._report.send("draining")
            for crew in (*self._crews, *self._retired):
                crew.signal(signal.SIGTERM)
        elif self._stop_signals > 1:
            self._kill_all()
        elif now > self._stopping_at + self._grace_seconds:
            self._press(now)

    def _press(self, now: float) -> None:
        """Have the children hand back what they still run; kill those that do not go by that."""
        if self._hurry_until is None:
            self._hurry_until = now + _ABORT_SECONDS
            os.close(self._hurry[1])
        elif now > self._hurry_until:
            self._kill_all()

    def _kill_all(self) -> None:
        for crew in (*self._crews, *self._retired):
            crew.signal_group(signal.SIGKILL)

    def _tell(self) -> None:
        ready = self._stopping_at is None and all(crew.ready for crew in self._crews)
        if ready and not self._ready:
            self._report.send("ready")
        self._ready = ready
        busy = sum(crew.busy for crew in (*self._crews, *self._retired))
        concurrency = sum(crew.plan.concurrency for crew in self._crews)
        self._heartbeat_file.write(
            WorkerHeartbeat(pid=os.getpid(), ready=ready, concurrency=concurrency, busy=busy)
        )
        self._tell_idle(ready=ready, busy=busy)

    def _tell_idle(self, *, ready: bool, busy: int) -> None:
        now = time.monotonic()
        made_progress = [crew.made_progress() for crew in self._crews]
        if busy or not ready or any(made_progress):
            self._active_at = now
        elif self._idle_seconds is not None and now - self._active_at >= self._idle_seconds:
            self._report.send("idle", seconds=round(now - self._active_at, 1))
