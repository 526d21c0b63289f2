"""A few processes of one program, started when they are needed and kept."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from time import monotonic
from typing import NoReturn

from gateway.children.errors import ChildDiedError, ChildError, ChildFailure
from gateway.children.forking import ForkServer
from gateway.children.memory_budget import MemoryBudget
from gateway.children.messages import ReplyFlag
from gateway.children.metrics import ChildMetrics
from gateway.children.output import OutputLog
from gateway.children.process import ChildProcess, Reply
from gateway.children.program import ChildProgram
from gateway.children.turns import Turns
from telemetry.logs import logger, reason_of

_DEATHS = 2
"""Processes that may end without a limit of ours during one request: someone may kill one."""
_MEBIBYTE = 1 << 20
_CANCELLED, _GROWN, _SLOWED = "cancelled", "grown", "slowed"

log = logger("gateway.children")


class ChildPool:
    """Has requests of tenants answered, each in a process of its own while that lasts.

    A process is killed at the deadline of its request, and when the request is cancelled. For one
    event loop; starts nothing before the first request.
    """

    def __init__(
        self, program: ChildProgram, metrics: ChildMetrics, budget: MemoryBudget | None = None
    ) -> None:
        self._budget = budget
        if budget is not None:
            budget.add(self)
        self.program = program
        self._metrics = metrics
        self._busy = metrics.busy.child(program.name)
        self._waiting = metrics.waiting.child(program.name)
        self._wait_seconds = metrics.wait_seconds.child(program.name)
        self._request_seconds = metrics.request_seconds.child(program.name)
        self._turns = Turns(program.size)
        self._bytes: Counter[str] = Counter()
        self._output = OutputLog(program.name, lines=program.output_lines)
        self._idle: list[ChildProcess] = []
        self._timers: dict[ChildProcess, asyncio.TimerHandle] = {}
        self._processes: set[ChildProcess] = set()
        self._fork_servers: list[ForkServer] = []
        """The last one forks; others may be ending."""
        self._closed = False

    @property
    def is_busy(self) -> bool:
        """See MeasuredPool."""
        return len(self._idle) < len(self._processes)

    def measured(self) -> Sequence[ChildProcess]:
        """See MeasuredPool."""
        self._processes = {one for one in self._processes if not one.ended}
        return [one for one in self._processes if one.alive]

    def warm(self) -> None:
        """Start a process if there is none, as a request is expected."""
        if not self._processes and not self._closed:
            with suppress(ChildError):
                self._keep(self._start())

    async def ask(
        self,
        tenant: str,
        request: bytes,
        body: bytes = b"",
        *,
        deadline: float,
        before: Callable[[], Awaitable[object]] | None = None,
    ) -> bytes:
        """Return the reply to `request` and `body` before `deadline` (`time.monotonic()`).

        `before` is awaited when it is the request's turn, before a process gets it.

        Raises:
            ChildError: there is none.
        """
        size = len(request) + len(body)
        try:
            self._check_room(tenant, size)
            if deadline <= monotonic():
                raise _deadline_passed()
            self._bytes[tenant] += size
            try:
                async with asyncio.timeout_at(_loop_time(deadline)):
                    return await self._ask_in_turn(tenant, request, body, deadline, before)
            except TimeoutError:
                raise _deadline_passed() from None
            finally:
                self._bytes[tenant] -= size
                if not self._bytes[tenant]:
                    del self._bytes[tenant]
        except ChildError as error:
            self._metrics.failures.child(self.program.name, error.failure).add()
            raise

    async def close(self) -> None:
        """Kill all processes; requests fail."""
        self._closed = True
        for timer in self._timers.values():
            timer.cancel()
        await asyncio.gather(*(process.end() for process in self._processes))
        self._processes.clear()
        await asyncio.gather(*(server.end() for server in self._fork_servers))
        self._output.report_omitted()

    def _check_room(self, tenant: str, size: int) -> None:
        """Refuse what is too much to wait; one request alone never is."""
        own, limit = self._bytes[tenant], self.program.max_waiting_bytes
        everything = self._bytes.total()
        if (own and own + size > limit // 2) or (everything and everything + size > limit):
            message = f"{everything} bytes wait already, {own} of them yours: send less at once"
            raise ChildError(ChildFailure.OVERLOADED, message)

    async def _ask_in_turn(
        self,
        tenant: str,
        request: bytes,
        body: bytes,
        deadline: float,
        before: Callable[[], Awaitable[object]] | None,
    ) -> bytes:
        arrived = monotonic()
        self._waiting.value += 1
        try:
            await self._turns.acquire(tenant)
        finally:
            self._waiting.value -= 1
        began = monotonic()
        self._wait_seconds.observe(began - arrived)
        self._busy.value += 1
        discarding: asyncio.Task[None] | None = None
        try:
            if before is not None:
                await before()
            for deaths in range(1, _DEATHS + 1):
                process = self._take()
                try:
                    return await self._ask(process, request, body, deadline)
                except ChildDiedError as died:
                    if deaths == _DEATHS or not self.program.repeatable:
                        message = f"{deaths} processes ended while they worked on it"
                        raise ChildError(ChildFailure.CRASH, message) from None
                    log.warning("child_died", pid=process.pid, reason=str(died))
                finally:
                    discarding = process.discarding
            raise AssertionError
        finally:
            self._request_seconds.observe(monotonic() - began)
            if discarding is None:
                self._end_turn(tenant)
            else:
                discarding.add_done_callback(lambda _: self._end_turn(tenant))

    async def _ask(
        self, process: ChildProcess, request: bytes, body: bytes, deadline: float
    ) -> bytes:
        """Return the reply of one process, which is kept or replaced afterwards."""
        ended_by: str = _CANCELLED
        if self._budget is not None:
            self._budget.watch()
        try:
            reply = await process.ask(request, body, seconds=deadline - monotonic())
            if reply.flags & ReplyFlag.LAST or self._closed:
                ended_by = _SLOWED if process.is_slowed else _GROWN
                process.kill()
            return self._body(reply)
        except ChildDiedError as died:
            ended_by = _reason(died)
            if process.exceeds_budget:
                ended_by = ChildFailure.MEMORY
                raise self._over_budget() from None
            if ended_by != ChildFailure.CRASH:
                self._raise(ended_by)
            raise
        except ChildError as error:
            ended_by = error.failure
            raise
        except OSError as error:
            ended_by = ChildFailure.UNAVAILABLE
            raise _not_started(error) from None
        finally:
            if monotonic() >= deadline:
                ended_by = ChildFailure.DEADLINE
            if process.discarding is None:
                self._keep_or_replace(process, ended_by)
            else:
                process.discarding.add_done_callback(
                    lambda _: self._keep_or_replace(process, ended_by)
                )

    def _end_turn(self, tenant: str) -> None:
        self._busy.value -= 1
        self._turns.release(tenant)

    def _keep_or_replace(self, process: ChildProcess, ended_by: str) -> None:
        """Keep a process for the next request, or start another now, which will be ready then."""
        if process.alive:
            self._keep(process)
        elif not self._closed and ended_by != ChildFailure.UNAVAILABLE:
            self._metrics.restarts.child(self.program.name, ended_by).add()
            with suppress(ChildError):
                self._keep(self._start())

    def _keep(self, process: ChildProcess) -> None:
        self._idle.append(process)
        if self.program.idle_seconds is not None:
            self._timers[process] = asyncio.get_running_loop().call_later(
                self.program.idle_seconds, self._end_idle, process
            )

    def _end_idle(self, process: ChildProcess) -> None:
        del self._timers[process]
        if len(self._idle) > self.program.kept_idle:
            self._idle.remove(process)
            process.kill()

    def _take(self) -> ChildProcess:
        if self._closed:
            raise ChildError(ChildFailure.CLOSED, "the process shuts down")
        while self._idle:
            process = self._idle.pop()
            if timer := self._timers.pop(process, None):
                timer.cancel()
            if process.alive:
                return process
            process.kill()  # from outside already: its status is still to be read
            self._metrics.restarts.child(self.program.name, ChildFailure.CRASH).add()
        return self._start()

    def _start(self) -> ChildProcess:
        self._processes = {one for one in self._processes if not one.ended}
        try:
            process = ChildProcess(self.program, self._output, self._fork_server())
        except OSError as error:
            raise _not_started(error) from None
        self._processes.add(process)
        return process

    def _fork_server(self) -> ForkServer:
        """Return one that runs, or starts. Raises OSError if none can be started."""
        if not self._fork_servers or not self._fork_servers[-1].alive:
            if self._fork_servers:
                log.warning("fork_server_replaced", program=self.program.name)
            self._fork_servers = [one for one in self._fork_servers if not one.ended]
            self._fork_servers.append(ForkServer(self.program, self._output))
        return self._fork_servers[-1]

    def _body(self, reply: Reply) -> bytes:
        if reply.flags & ReplyFlag.OUT_OF_MEMORY:
            self._raise(ChildFailure.MEMORY)
        if reply.flags & ReplyFlag.TOO_LARGE:
            self._raise(ChildFailure.SIZE)
        return reply.body

    def _over_budget(self) -> ChildError:
        """Return that the host's children used too much, and that of this request most of it."""
        assert self._budget is not None
        budget = self._budget.budget_bytes // _MEBIBYTE
        message = (
            f"it needs most of the {budget} MiB of memory that all such processes of the host may "
            "use together"
        )
        return ChildError(ChildFailure.MEMORY, message)

    def _raise(self, failure: str) -> NoReturn:
        """Raise that a limit was reached."""
        program = self.program
        match failure:
            case ChildFailure.CPU:
                message = f"it takes more than {program.cpu_seconds:g} s of CPU time"
            case ChildFailure.MEMORY:
                limit = f"{program.memory_bytes // _MEBIBYTE} MiB"
                message = f"it needs more than {limit} of memory, or is nested too deeply"
            case ChildFailure.SIZE:
                message = f"its result takes more than {program.max_reply_bytes // _MEBIBYTE} MiB"
            case _:
                raise _deadline_passed()
        raise ChildError(ChildFailure(failure), message)


def _reason(died: ChildDiedError) -> ChildFailure:
    """Return the limit that ended a process, as its signal says."""
    match died.signal:
        case signal.SIGALRM:
            return ChildFailure.DEADLINE
        case signal.SIGPROF:
            return ChildFailure.CPU
        case signal.SIGABRT | signal.SIGSEGV | signal.SIGBUS:
            # What compiled code does that gets no memory, or no stack.
            return ChildFailure.MEMORY
        case _:
            return ChildFailure.CRASH


def _not_started(error: OSError) -> ChildError:
    message = f"no process can be started: {reason_of(error)}"
    return ChildError(ChildFailure.UNAVAILABLE, message)


def _deadline_passed() -> ChildError:
    return ChildError(ChildFailure.DEADLINE, "it is not finished at the deadline")


def _loop_time(deadline: float) -> float:
    return asyncio.get_running_loop().time() + deadline - monotonic()
