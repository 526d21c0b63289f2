"""A few evaluators, started when they are needed and kept."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from time import monotonic

from gateway.evaluator.errors import EvaluatorDiedError, EvaluatorError, EvaluatorFailure
from gateway.evaluator.messages import MAX_REPLY_BYTES, ReplyFlag
from gateway.evaluator.process import EvaluatorProcess, Reply
from gateway.evaluator.turns import Turns
from telemetry.logs import logger, reason_of

_DEATHS = 2
"""Processes that may end without a limit of ours during one request: someone may kill one."""
_MEBIBYTE = 1 << 20

log = logger("gateway.evaluator")


class EvaluatorPool:
    """Evaluates requests of tenants, each in a process of its own while that lasts.

    A process is killed at the deadline of its request, and when the request is cancelled. For one
    event loop; starts nothing before the first request.
    """

    def __init__(self, module: str, *, size: int, memory_bytes: int, cpu_seconds: float) -> None:
        """Create a pool.

        Args:
            module: what the processes run; it calls `child.serve`.
            size: processes at most; a tenant has at most half of them at a time.
            memory_bytes: address space of a process.
            cpu_seconds: CPU time of one request.
        """
        self._module = module
        self._memory_bytes = memory_bytes
        self._cpu_seconds = cpu_seconds
        self._turns = Turns(size)
        self._idle: list[EvaluatorProcess] = []
        self._processes: set[EvaluatorProcess] = set()
        self._closed = False

    def warm(self) -> None:
        """Start a process if there is none, as a request is expected."""
        if not self._processes and not self._closed:
            with suppress(EvaluatorError):
                self._idle.append(self._start())

    async def ask(self, tenant: str, request: bytes, *, deadline: float) -> bytes:
        """Return the reply to `request` before `deadline` (`time.monotonic()`).

        Raises:
            EvaluatorError: there is none.
        """
        if deadline <= monotonic():
            raise _deadline_passed()
        try:
            async with asyncio.timeout_at(_loop_time(deadline)), self._turns.turn(tenant):
                return await self._ask(request, deadline)
        except TimeoutError:
            raise _deadline_passed() from None

    async def close(self) -> None:
        """Kill all processes; requests fail."""
        self._closed = True
        await asyncio.gather(*(process.end() for process in self._processes))
        self._processes.clear()

    async def _ask(self, request: bytes, deadline: float) -> bytes:
        for deaths in range(1, _DEATHS + 1):
            if self._closed:
                raise EvaluatorError(EvaluatorFailure.CLOSED, "the process shuts down")
            process = self._take()
            try:
                reply = await process.ask(
                    request, seconds=deadline - monotonic(), cpu_seconds=self._cpu_seconds
                )
            except EvaluatorDiedError as died:
                self._raise_if_limit(died)
                if deaths == _DEATHS:
                    message = f"{_DEATHS} evaluators ended while they worked on it"
                    raise EvaluatorError(EvaluatorFailure.CRASH, message) from None
                log.warning("evaluator_died", pid=process.pid, reason=str(died))
            else:
                if reply.flags & ReplyFlag.LAST or self._closed:
                    process.kill()
                return self._body(reply)
            finally:
                self._keep_or_replace(process)
        raise AssertionError

    def _keep_or_replace(self, process: EvaluatorProcess) -> None:
        """Keep a process for the next request, or start another now, which will be ready then."""
        if process.alive:
            self._idle.append(process)
        elif not self._closed:
            with suppress(EvaluatorError):
                self._idle.append(self._start())

    def _take(self) -> EvaluatorProcess:
        while self._idle:
            process = self._idle.pop()
            if process.alive:
                return process
            process.kill()  # from outside already: its status is still to be read
        return self._start()

    def _start(self) -> EvaluatorProcess:
        self._processes = {one for one in self._processes if not one.ended}
        try:
            process = EvaluatorProcess(self._module, memory_bytes=self._memory_bytes)
        except OSError as error:
            message = f"no evaluator can be started: {reason_of(error)}"
            raise EvaluatorError(EvaluatorFailure.UNAVAILABLE, message) from None
        self._processes.add(process)
        return process

    def _raise_if_limit(self, died: EvaluatorDiedError) -> None:
        """Raise the limit that ended a process, as its signal says."""
        match died.signal:
            case signal.SIGALRM:
                raise _deadline_passed() from None
            case signal.SIGPROF:
                message = f"it takes more than {self._cpu_seconds:g} s of CPU time"
                raise EvaluatorError(EvaluatorFailure.CPU, message) from None
            case signal.SIGABRT | signal.SIGSEGV | signal.SIGBUS:
                # What compiled code does that gets no memory, or no stack.
                raise self._out_of_memory() from None

    def _body(self, reply: Reply) -> bytes:
        if reply.flags & ReplyFlag.OUT_OF_MEMORY:
            raise self._out_of_memory()
        if reply.flags & ReplyFlag.TOO_LARGE:
            message = f"its result takes more than {MAX_REPLY_BYTES // _MEBIBYTE} MiB"
            raise EvaluatorError(EvaluatorFailure.SIZE, message)
        return reply.body

    def _out_of_memory(self) -> EvaluatorError:
        limit = f"{self._memory_bytes // _MEBIBYTE} MiB"
        message = f"it needs more than {limit} of memory, or is nested too deeply"
        return EvaluatorError(EvaluatorFailure.MEMORY, message)


def _deadline_passed() -> EvaluatorError:
    return EvaluatorError(EvaluatorFailure.DEADLINE, "it is not finished at the deadline")


def _loop_time(deadline: float) -> float:
    return asyncio.get_running_loop().time() + deadline - monotonic()
