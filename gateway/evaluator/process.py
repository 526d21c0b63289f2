"""One evaluator, as the gateway sees it: a child process and the socket to it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from socket import socketpair

from gateway.evaluator.errors import EvaluatorDiedError
from gateway.evaluator.messages import MAX_REPLY_BYTES, REPLY, REQUEST, ReplyFlag

_BUFFER_BYTES = 1 << 20
_REAP_SECONDS = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A reply of an evaluator."""

    flags: ReplyFlag
    body: bytes


class EvaluatorProcess:
    """Answers one request at a time. Killed when a request is cancelled, as it cannot be stopped.

    Its environment has nothing but the path of modules: it needs none of this process's secrets. It
    ends when this process does, whatever it is doing.
    """

    def __init__(self, module: str, *, memory_bytes: int) -> None:
        """Start `module`, which calls `child.serve`. Raises OSError if no process can be started.

        Not by asyncio, whose subprocesses need the main thread's event loop.
        """
        ours, theirs = socketpair()
        lifeline, held = os.pipe()
        try:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-s", "-P", "-m", module),
                    *("--socket", str(theirs.fileno()), "--lifeline", str(lifeline)),
                    *("--memory-bytes", str(memory_bytes)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # tracebacks and aborts, with tenants' values
                pass_fds=(theirs.fileno(), lifeline),
                env={"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                start_new_session=True,  # Ctrl-C is for the supervisor
            )
        except OSError:
            ours.close()
            os.close(held)
            raise
        finally:
            theirs.close()
            os.close(lifeline)
        self._socket = ours
        self._lifeline = held
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._reaping: asyncio.Task[int] | None = None

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

    async def ask(self, request: bytes, *, seconds: float, cpu_seconds: float) -> Reply:
        """Return the reply. Whatever else happens, the process is killed.

        Raises:
            EvaluatorDiedError: it ended before, also by its own timers.
        """
        try:
            if self._streams is None:
                self._streams = await asyncio.open_unix_connection(
                    sock=self._socket, limit=_BUFFER_BYTES
                )
            reader, writer = self._streams
            writer.write(REQUEST.pack(len(request), seconds, cpu_seconds))
            writer.write(request)
            await writer.drain()
            length, flags = REPLY.unpack(await reader.readexactly(REPLY.size))
            body = await reader.readexactly(min(length, MAX_REPLY_BYTES))
            return Reply(flags=ReplyFlag(flags), body=body)
        except (OSError, asyncio.IncompleteReadError):
            # Not `kill` at once: it may not have ended by its own signal yet.
            raise EvaluatorDiedError(-min(await self.end(kill=False), 0)) from None
        except BaseException:
            self.kill()
            raise

    def kill(self) -> None:
        """Kill the process; `end` waits for it."""
        self._process.kill()
        self._close()

    async def end(self, *, kill: bool = True) -> int:
        """Wait for the end of the process, and return its exit status."""
        if kill:
            self._process.kill()
        return await asyncio.shield(self._close())

    def _close(self) -> asyncio.Task[int]:
        if self._reaping is None:
            self._reaping = asyncio.create_task(self._reap(), name="evaluator ends")
        return self._reaping

    async def _reap(self) -> int:
        """Wait for the end of the process. Polls: child watchers need the main thread."""
        while (status := self._process.poll()) is None:  # noqa: ASYNC110
            await asyncio.sleep(_REAP_SECONDS)
        os.close(self._lifeline)
        if self._streams is None:
            self._socket.close()
        else:
            self._streams[1].close()
            with suppress(OSError):
                await self._streams[1].wait_closed()
        return status
