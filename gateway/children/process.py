"""A child process, as its owner sees it: the socket to it, and what the fork server reports."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from signal import SIGKILL
from socket import SO_SNDBUF, SOL_SOCKET, socketpair
from time import monotonic

from gateway.children.child import NICENESS
from gateway.children.errors import ChildDiedError
from gateway.children.forking import ForkServer
from gateway.children.messages import READY, REPLY, REPORT, REQUEST, ReplyFlag
from gateway.children.output import OutputLog, OutputReader
from gateway.children.program import ChildProgram
from gateway.proc_stat import STOPPED, read_proc_stat
from telemetry.logs import logger

_BUFFER_BYTES = 4 << 20
"""Most requests and replies fit, so that each end is woken once. The kernel may grant less."""
_PIECE_BYTES = 1 << 20
_FORK_SECONDS = 5.0
"""In which a fork server that has imported everything forks, or reports an end. It takes
milliseconds."""
_END_SECONDS = 1.0
"""In which a process ends that has closed its socket."""
_SHORTEST = 0.001
"""Seconds of a timer; none would be no timer."""
_LOOK_SECONDS = 1.0
"""Between two looks at a busy process."""
_QUICK_LOOK_SECONDS = 0.1
"""The same of one that may lose priority."""
_STOPPED_SECONDS = 0.5
"""For which looks find a process stopped that is killed then."""
_SECONDS_PER_LEVEL = 0.05
"""CPU time since the first look after which its niceness is raised by _LEVEL, again and again."""
_LEVEL = 2
_MAX_NICENESS = 15
"""It still gets some CPU time where others want more than there is."""

log = logger("gateway.children")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A reply of a child."""

    flags: ReplyFlag
    body: bytes


class ChildProcess:
    """Answers one request at a time. Killed when a request is cancelled, as it cannot be stopped.

    It ends when this process does, whatever it is doing, and when its fork server does.
    """

    def __init__(self, program: ChildProgram, output: OutputLog, forks: ForkServer) -> None:
        """Have `forks` start a process.

        Raises:
            OSError: it cannot be asked to.
        """
        self._program = program
        self._output_log = output
        self._forks = forks
        self._socket, connection = socketpair()
        self._report, report = socketpair()
        lifeline, held = os.pipe()
        self._output, written = os.pipe()
        self._lifeline: int | None = held
        try:
            for end in (self._socket, connection):
                end.setsockopt(SOL_SOCKET, SO_SNDBUF, _BUFFER_BYTES)
            self._report.setblocking(False)
            forks.fork(connection.fileno(), lifeline, written, report.fileno())
        except OSError:
            self._socket.close()
            self._report.close()
            os.close(held)
            os.close(self._output)
            raise
        finally:
            connection.close()
            report.close()
            os.close(lifeline)
            os.close(written)
        self.pid = 0
        """The number of the process, when it is known."""
        self.exceeds_budget = False
        """Whether it was killed because all children of the host used too much memory."""
        self._refusal: OSError | None = None
        self._ends = False
        self._timer: asyncio.TimerHandle | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._niceness = NICENESS
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._header: bytes | None = None
        self._body = BytesIO()
        self.discarding: asyncio.Task[None] | None = None
        """Waits for the reply to a cancelled request, after which the process is kept or killed."""
        self._starting = asyncio.create_task(self._start(), name="child process starts")
        self._life = asyncio.create_task(self._live(), name="child process lives")

    @property
    def alive(self) -> bool:
        """Whether the process has not ended, and is not about to."""
        return not (self._ends or self._life.done())

    @property
    def shared_with(self) -> int:
        """See MeasuredChild."""
        return self._forks.pid

    @property
    def is_slowed(self) -> bool:
        """Whether its priority was lowered, for good."""
        return self._niceness > NICENESS

    @property
    def ended(self) -> bool:
        """Whether nothing is left to wait for."""
        return self._life.done()

    async def ask(self, request: bytes, body: bytes, *, seconds: float) -> Reply:
        """Return the reply to a request that has `seconds`. The process is killed if there is none.

        If this is cancelled, it goes on for the program's grace first, see `discarding`. One that
        was not ready has nothing to stop, and is kept.

        Raises:
            ChildDiedError: it ended before, also by its own timers.
            OSError: the system cannot start another process.
        """
        program = self._program
        began, is_sent = monotonic(), False
        try:
            if not self._starting.done():
                await asyncio.wait({self._starting})
            if self._streams is None:
                raise ConnectionError  # noqa: TRY301 - it has ended
            left = max(seconds - (monotonic() - began), _SHORTEST)
            timers = (left, program.cpu_seconds or 0) if program.has_timers else (0, 0)
            header = REQUEST.pack(len(request), len(body), *timers)
            writer = self._streams[1]
            is_sent = True
            self._look_again(stopped_at=None, cpu_before=None)
            writer.writelines((header, request, body) if body else (header, request))
            await writer.drain()
            return await self._read()
        except (OSError, asyncio.IncompleteReadError):
            # Not `kill` at once: it may not have ended by its own signal yet.
            status = await self.end(kill=False)
            if self._refusal is not None:
                raise self._refusal from None
            raise ChildDiedError(-min(status, 0)) from None
        except asyncio.CancelledError:
            if not is_sent:
                raise
            if program.cancel_grace_seconds:
                self.discarding = asyncio.create_task(
                    self._discard(program.cancel_grace_seconds), name="child process discards"
                )
            else:
                self.kill()
            raise
        except BaseException:
            self.kill()
            raise
        finally:
            if self._watch is not None:
                self._watch.cancel()

    def kill(self) -> None:
        """Kill the process and what it has started; `end` waits for it.

        The fork server has to say that it has ended, and is killed if it does not.
        """
        self._ends = True
        if self._lifeline is None:
            return
        os.close(self._lifeline)
        self._lifeline = None
        if self._forks.has_forked:
            self._after(_FORK_SECONDS, self._forks.kill)
        else:
            self._forks.kill()

    def end_for_memory(self) -> None:
        """See MeasuredChild."""
        self.exceeds_budget = True
        self.kill()

    async def end(self, *, kill: bool = True) -> int:
        """Wait for the end of the process, and return its exit status.

        Without `kill` it gets a second to end by itself.
        """
        if kill:
            self.kill()
        elif not self._ends:
            self._ends = True
            self._after(_END_SECONDS, self.kill)
        return await asyncio.shield(self._life)

    def _look_again(self, *, stopped_at: float | None, cpu_before: float | None) -> None:
        seconds = _QUICK_LOOK_SECONDS if self._program.lowers_priority else _LOOK_SECONDS
        loop = asyncio.get_running_loop()
        self._watch = loop.call_later(seconds, self._look, stopped_at, cpu_before)

    def _look(self, stopped_at: float | None, cpu_before: float | None) -> None:
        """Look at a busy process, which has been found stopped (SIGSTOP) since `stopped_at`.

        Then it would not work, nor end by its own timers, until the deadline of the request.
        `cpu_before` is the CPU time it had used at the first look.
        """
        with suppress(OSError):  # it has ended, or this is not Linux
            stat = read_proc_stat(self.pid)
            if stat.state != STOPPED:
                stopped_at = None
            elif stopped_at is None:
                stopped_at = monotonic()
            elif monotonic() - stopped_at >= _STOPPED_SECONDS:
                log.error("child_stopped", pid=self.pid)
                self.kill()
                return
            if cpu_before is None:
                cpu_before = stat.cpu_seconds
            if self._program.lowers_priority:
                self._lower_priority(stat.cpu_seconds - cpu_before)
        self._look_again(stopped_at=stopped_at, cpu_before=cpu_before)

    def _lower_priority(self, cpu_seconds: float) -> None:
        """Let shorter requests go first. Not by pid from here: the process may have ended."""
        niceness = NICENESS + int(cpu_seconds / _SECONDS_PER_LEVEL) * _LEVEL
        self._niceness = min(niceness, _MAX_NICENESS)
        if self.is_slowed:  # each time, as Linux refuses what comes soon after another session's
            self._forks.lower_priority(self.pid, self._niceness)

    def _after(self, seconds: float, act: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, act)

    async def _start(self) -> None:
        """Wait until the process can take requests; kill it if that takes too long.

        Raises nothing: a request notices that the process has ended.
        """
        with suppress(asyncio.IncompleteReadError):
            try:
                async with asyncio.timeout(self._program.start_seconds):
                    self._streams = await asyncio.open_unix_connection(
                        sock=self._socket, limit=_BUFFER_BYTES
                    )
                    await self._streams[0].readexactly(len(READY))
            except OSError:  # TimeoutError included
                self.kill()

    async def _read(self) -> Reply:
        """Read a reply. What was read before this is cancelled is not lost."""
        assert self._streams is not None
        reader = self._streams[0]
        if self._header is None:
            self._header = await reader.readexactly(REPLY.size)
        length, flags = REPLY.unpack(self._header)
        length = min(length, self._program.max_reply_bytes)
        while self._body.tell() < length:
            # Not `readexactly`, which copies all of it at once
            piece = await reader.read(min(length - self._body.tell(), _PIECE_BYTES))
            if not piece:
                raise asyncio.IncompleteReadError(b"", length - self._body.tell())
            self._body.write(piece)
        if self.is_slowed:
            flags |= ReplyFlag.LAST
        reply = Reply(flags=ReplyFlag(flags), body=self._body.getvalue())
        self._header, self._body = None, BytesIO()
        return reply

    async def _discard(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                reply = await self._read()
        except (OSError, asyncio.IncompleteReadError):
            self.kill()
        else:
            if reply.flags & ReplyFlag.LAST:
                self.kill()
        finally:
            self.discarding = None

    async def _live(self) -> int:
        """Return the exit status when the process has ended.

        It is that of SIGKILL if the fork server has ended, too, or hangs.
        """
        seconds = _FORK_SECONDS if self._forks.has_forked else self._program.start_seconds
        status = -SIGKILL
        reader: OutputReader | None = None
        try:
            async with asyncio.timeout(seconds):
                number = await self._reported()
            self._forks.has_forked = True
            if number < 0:
                self._refusal = OSError(-number, os.strerror(-number))
            else:
                self.pid = number
                reader = OutputReader(self._output, self.pid, self._output_log)
                status = await self._reported()
        except OSError:  # TimeoutError included: the fork server has ended, hangs, or did not start
            self._forks.kill()
            self._refusal = self._forks.refusal
        self._release(reader)
        self._starting.cancel()
        await asyncio.wait({self._starting})
        if self._streams is None:
            self._socket.close()
        else:
            self._streams[1].close()
            with suppress(OSError):
                await self._streams[1].wait_closed()
        return status

    async def _reported(self) -> int:
        """Return the next number that the fork server reports. Raises OSError if it has ended."""
        report = await asyncio.get_running_loop().sock_recv(self._report, REPORT.size)
        if not report:
            raise ConnectionError
        (number,) = REPORT.unpack(report)
        return int(number)

    def _release(self, reader: OutputReader | None) -> None:
        """Close everything but the socket for requests."""
        self._ends = True
        if self._timer is not None:
            self._timer.cancel()
        if self._lifeline is not None:
            os.close(self._lifeline)
            self._lifeline = None
        self._report.close()
        if reader is None:
            os.close(self._output)
        else:
            reader.close()
