"""The methods of a server, and the interfaces between a call and its handler."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from transport.status import Metadata, StatusCode
from transport.write_queue import Buffer


class ServerCall(Protocol):
    """A call, as its handler sees it."""

    @property
    def path(self) -> str:
        """The method, `/package.Service/Method`."""
        ...

    @property
    def metadata(self) -> Metadata:
        """The client's initial metadata."""
        ...

    @property
    def peer(self) -> str:
        """The client: `unix:` or `ipv4:host:port`."""
        ...

    @property
    def deadline(self) -> float | None:
        """When the client stops waiting, on the clock of the event loop."""
        ...

    @property
    def alive(self) -> bool:
        """Whether the client still waits for an answer."""
        ...

    def remaining(self) -> float | None:
        """Return the seconds until the deadline, negative if it has passed; None: no deadline."""
        ...


class UnaryCall(ServerCall, Protocol):
    """A call of one message and one answer."""

    trailers: Metadata
    """Sent behind a successful answer; set by the handler."""


class StreamCall(ServerCall, Protocol):
    """A call of any number of messages and answers."""

    @property
    def queued(self) -> int:
        """Bytes that were sent and wait for the client to accept them."""
        ...

    def send(self, message: Buffer, /) -> int:
        """Send a message, and return how many bytes of this call are queued. Never blocks.

        Has no effect on a call that is over, because the client may leave at any time.
        """
        ...

    def finish(
        self, code: StatusCode = StatusCode.OK, message: str = "", trailers: Metadata = ()
    ) -> None:
        """End the call, behind everything that was sent; the handler is not called again."""
        ...

    def busy_poll(self, seconds: float) -> None:
        """Poll for the next message for up to `seconds` instead of sleeping until it arrives.

        Nothing else runs on the event loop meanwhile; see `transport.busy_poll`.
        """
        ...

    def pause(self) -> None:
        """Stop delivering messages; the client may send one more window of data and then waits."""
        ...

    def resume(self) -> None:
        """Deliver messages again, beginning with those that waited."""
        ...

    async def flushed(self) -> None:
        """Wait until everything sent was written to the socket or dropped."""
        ...


class StreamHandler(Protocol):
    """Handles one streaming call. An exception that it raises ends the call."""

    def messages(self, messages: list[bytes]) -> None:
        """Handle all messages that arrived in one read, at least one."""
        ...

    def half_closed(self) -> None:
        """Handle the end of the client's messages; it waits for answers and for `finish`."""
        ...

    def cancelled(self) -> None:
        """Handle a call that ended early: the client left, or its deadline passed."""
        ...


UnaryHandler = Callable[[bytes, UnaryCall], bytes | Awaitable[bytes]]
"""Takes the message and returns the answer: as bytes, as a future, or as a coroutine.

An answer returned as bytes costs no task. If the client leaves or its deadline passes, the task or
future is cancelled. A handler raises RpcError to end the call with a status.
"""
StreamHandlerFactory = Callable[[StreamCall], StreamHandler]


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodHandler:
    """The handler of one method; exactly one of the two is set."""

    unary: UnaryHandler | None = None
    stream: StreamHandlerFactory | None = None


class Router:
    """The methods of a server, by their full paths."""

    def __init__(self) -> None:
        self._methods: dict[str, MethodHandler] = {}

    def unary(self, path: str, handler: UnaryHandler) -> None:
        """Register the handler of a method of one message and one answer."""
        self._add(path, MethodHandler(unary=handler))

    def stream(self, path: str, factory: StreamHandlerFactory) -> None:
        """Register a streaming method; `factory` makes the handler of each call."""
        self._add(path, MethodHandler(stream=factory))

    def find(self, path: str) -> MethodHandler | None:
        """Return the handler of a method; None: there is no such method."""
        return self._methods.get(path)

    def paths(self) -> list[str]:
        """Return the registered methods."""
        return sorted(self._methods)

    def _add(self, path: str, handler: MethodHandler) -> None:
        if not path.startswith("/") or path.count("/") != 2:  # noqa: PLR2004
            raise ValueError(f"method path {path!r}: expected /package.Service/Method")
        if path in self._methods:
            raise ValueError(f"method path {path!r} is already registered")
        self._methods[path] = handler
