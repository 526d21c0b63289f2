"""A child process, as its parent sees it: the process and the socket to it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from signal import SIGKILL
from socket import SO_SNDBUF, SOL_SOCKET, socketpair
from time import monotonic

from gateway.children.errors import ChildDiedError
from gateway.children.messages import READY, REPLY, REQUEST, ReplyFlag
from gateway.children.output import OutputLog, OutputReader
from gateway.children.program import ChildProgram

_BUFFER_BYTES = 4 << 20
"""Most requests and replies fit, so that each end is woken once. The kernel may grant less."""
_REAP_SECONDS = 0.005
_SHORTEST = 0.001
"""Seconds of a timer; none would be no timer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A reply of a child."""

    flags: ReplyFlag
    body: bytes


class ChildProcess:
    """Answers one request at a time. Killed when a request is cancelled, as it cannot be stopped.

    It ends when this process does, whatever it is doing.
    """

    def __init__(self, program: ChildProgram, output: OutputLog) -> None:
        """Start a process. Raises OSError if none can be started.

        Not by asyncio, whose subprocesses need the main thread's event loop.
        """
        self._program = program
        ours, theirs = socketpair()
        lifeline, held = os.pipe()
        read_end, write_end = os.pipe()
        try:
            for end in (ours, theirs):
                end.setsockopt(SOL_SOCKET, SO_SNDBUF, _BUFFER_BYTES)
            self._process = subprocess.Popen(
                _command(program, theirs.fileno(), lifeline),
                stdin=subprocess.DEVNULL,
                stdout=write_end,
                stderr=write_end,
                pass_fds=(theirs.fileno(), lifeline),
                env=_environment(program),
                start_new_session=True,  # Ctrl-C is for the supervisor
            )
        except OSError:
            ours.close()
            os.close(held)
            os.close(read_end)
            raise
        finally:
            theirs.close()
            os.close(lifeline)
            os.close(write_end)
        self._socket = ours
        self._lifeline = held
        self._output = OutputReader(read_end, self._process.pid, output)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._reaping: asyncio.Task[int] | None = None
        self._header: bytes | None = None
        self.discarding: asyncio.Task[None] | None = None
        """Waits for the reply to a cancelled request, after which the process is kept or killed."""
        self._starting = asyncio.create_task(self._start(), name="child process starts")

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process has not ended."""
        return self._reaping is None and self._process.poll() is None

    @property
    def ended(self) -> bool:
        """Whether nothing is left to wait for."""
        return self._reaping is not None and self._reaping.done()

    async def ask(self, request: bytes, body: bytes, *, seconds: float) -> Reply:
        """Return the reply to a request that has `seconds`. The process is killed if there is none.

        If this is cancelled, it goes on for the program's grace first, see `discarding`. One that
        was not ready has nothing to stop, and is kept.

        Raises:
            ChildDiedError: it ended before, also by its own timers.
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
            writer.writelines((header, request, body) if body else (header, request))
            await writer.drain()
            return await self._read()
        except (OSError, asyncio.IncompleteReadError):
            # Not `kill` at once: it may not have ended by its own signal yet.
            raise ChildDiedError(-min(await self.end(kill=False), 0)) from None
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

    def kill(self) -> None:
        """Kill the process and what it has started; `end` waits for it."""
        self._send_kill()
        self._close()

    async def end(self, *, kill: bool = True) -> int:
        """Wait for the end of the process, and return its exit status."""
        if kill:
            self._send_kill()
        return await asyncio.shield(self._close())

    def _send_kill(self) -> None:
        if self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, SIGKILL)  # it leads a session of its own

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
        body = await reader.readexactly(min(length, self._program.max_reply_bytes))
        self._header = None
        return Reply(flags=ReplyFlag(flags), body=body)

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

    def _close(self) -> asyncio.Task[int]:
        if self._reaping is None:
            self._reaping = asyncio.create_task(self._reap(), name="child process ends")
        return self._reaping

    async def _reap(self) -> int:
        """Wait for the end of the process. Polls: child watchers need the main thread."""
        while (status := self._process.poll()) is None:  # noqa: ASYNC110
            await asyncio.sleep(_REAP_SECONDS)
        self._starting.cancel()
        await asyncio.wait({self._starting})
        os.close(self._lifeline)
        self._output.close()
        if self._streams is None:
            self._socket.close()
        else:
            self._streams[1].close()
            with suppress(OSError):
                await self._streams[1].wait_closed()
        return status


def _command(program: ChildProgram, descriptor: int, lifeline: int) -> list[str]:
    command = [
        *(sys.executable, "-s", "-P", "-m", program.module),
        *("--socket", str(descriptor), "--lifeline", str(lifeline)),
        *("--memory-bytes", str(program.memory_bytes)),
        *("--max-reply-bytes", str(program.max_reply_bytes)),
    ]
    if program.replaced_above_bytes is not None:
        command += ("--replaced-above-bytes", str(program.replaced_above_bytes))
    return command


def _environment(program: ChildProgram) -> dict[str, str]:
    """Return the environment: most programs need none of this process's secrets."""
    inherited = dict(os.environ) if program.has_environment else {}  # noqa: TID251 - passed on
    return {**inherited, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
