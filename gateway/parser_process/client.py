"""The gateway's side of the parser process."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

from gateway.errors import GatewayError
from gateway.parser_process.frames import LENGTH, Failure, Job, encode_frame, from_bytes, to_bytes
from protos.errors import ErrorCode

LARGE_BODY_BYTES = 1 << 20
"""Larger bodies are parsed there. Smaller ones take a few milliseconds: sending them is no gain."""

_MAX_WAITING_BYTES = 256 << 20
"""Of bodies that wait or are being parsed."""
_JOB_SECONDS = 60.0
_IDLE_SECONDS = 600.0
"""The first body afterwards waits for a new process: some tenths of a second."""
_RETRY_SECONDS = 2.0
_SEND_BUFFER = 4 << 20
"""Most bodies fit, so that each end is woken once. The kernel may grant less."""

P = ParamSpec("P")
T = TypeVar("T")


class ParserProcess:
    """Runs functions on large bodies in a process of its own, one after the other.

    The process is started by the first body, and ended when none has come for ten minutes.
    """

    def __init__(self) -> None:
        self._waiting_bytes = 0
        self._turn = asyncio.Lock()
        self._exchange: asyncio.Task[Any] | None = None  # Any: as `_send`
        self._child: subprocess.Popen[bytes] | None = None
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._idle: asyncio.TimerHandle | None = None

    async def run(
        self,
        function: Callable[Concatenate[bytes, P], T],
        body: bytes,
        *args: P.args,
        **_: P.kwargs,
    ) -> T:
        """Return `function(body, *args)`, which must be a function of a module.

        Raises:
            GatewayError: as the function; OVERLOADED if many bodies wait already, INTERNAL if the
                process died or took too long.
            TensorError: as the function.
        """
        if self._waiting_bytes + len(body) > _MAX_WAITING_BYTES:
            message = f"{self._waiting_bytes} bytes wait to be parsed already: send less at once"
            raise GatewayError(ErrorCode.OVERLOADED, message, retry_after=_RETRY_SECONDS)
        self._waiting_bytes += len(body)
        try:
            async with self._turn:
                if self._exchange is not None:  # of a caller that has left
                    await asyncio.wait({self._exchange})
                exchange = asyncio.create_task(self._send(Job(function, args), body))
                exchange.add_done_callback(self._forget)
                self._exchange = exchange
                outcome = await asyncio.shield(exchange)
        finally:
            self._waiting_bytes -= len(body)
        if isinstance(outcome, Failure):
            raise outcome.exception()
        value: T = outcome.value
        return value

    async def close(self) -> None:
        """End the process; nothing is to be parsed any more."""
        if self._exchange is not None:
            self._exchange.cancel()
            await asyncio.wait({self._exchange})
        self._end()

    async def _send(self, job: Job, body: bytes) -> Any:  # Any: a Result or a Failure
        """Send a job and return its outcome; a process that does not answer is ended."""
        if self._idle is not None:
            self._idle.cancel()
        try:
            async with asyncio.timeout(_JOB_SECONDS):
                reader, writer = self._streams or await self._start()
                writer.writelines((*encode_frame(to_bytes(job)), *encode_frame(body)))
                (size,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
                outcome = from_bytes(await reader.readexactly(size))
        except (OSError, EOFError, TimeoutError):
            self._end()
            message = "the process that parses large bodies died or took too long on this one"
            return Failure(message=message, code=ErrorCode.INTERNAL)
        self._idle = asyncio.get_running_loop().call_later(_IDLE_SECONDS, self._end)
        return outcome

    def _forget(self, _: asyncio.Task[Any]) -> None:  # Any: as above
        self._exchange = None  # and its outcome

    async def _start(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        ours, theirs = socket.socketpair()
        try:
            for end in (ours, theirs):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
            self._child = await asyncio.to_thread(_start_child, theirs.fileno())
            self._streams = await asyncio.open_unix_connection(sock=ours, limit=_SEND_BUFFER)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        return self._streams

    def _end(self) -> None:
        child, self._child = self._child, None
        streams, self._streams = self._streams, None
        if streams is not None:
            streams[1].transport.abort()
        if self._idle is not None:
            self._idle.cancel()
        if child is not None:
            child.kill()
            asyncio.get_running_loop().run_in_executor(None, child.wait)


def _start_child(descriptor: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "gateway.parser_process", "--socket-fd", str(descriptor)]
    return subprocess.Popen(command, pass_fds=(descriptor,), stdin=subprocess.DEVNULL)
