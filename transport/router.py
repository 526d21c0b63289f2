"""Which handler answers which method."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from transport.outbox import Buffer
from transport.status import Metadata, StatusCode


class Call(Protocol):
    """What a handler may know of a call, and do with it."""

    @property
    def path(self) -> str:
        """The method, `/package.Service/Method`."""
        ...

    @property
    def metadata(self) -> Metadata:
        """What the client sent before its messages."""
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
        """Whether anybody waits for an answer."""
        ...

    def remaining(self) -> float | None:
        """Return the seconds until the deadline (negative: it has passed); None: there is none."""
        ...


class UnaryCall(Call, Protocol):
    """A call of one message and one answer."""

    trailers: Metadata
    """To be set by the handler for the end of a successful answer."""


class StreamCall(Call, Protocol):
    """A call of any number of messages and answers."""

    @property
    def queued(self) -> int:
        """Bytes that were sent and wait for the client to take them."""
        ...

    def send(self, message: Buffer, /) -> int:
        """Send a message, and return how many bytes of this call wait. Never blocks.

        Of no effect on a call that is over: the client may leave at any time.
        """
        ...

    def finish(
        self, code: StatusCode = StatusCode.OK, message: str = "", trailers: Metadata = ()
    ) -> None:
        """End the call, behind everything that was sent; the handler hears nothing after it."""
        ...

    def linger(self, seconds: float) -> None:
        """Stay awake for up to `seconds`, for the next message, instead of being woken by it.

        Nothing else happens on the event loop meanwhile: see `transport.vigil`.
        """
        ...

    def pause(self) -> None:
        """Deliver no more messages for now; the client may send one window full, and then waits."""
        ...

    def resume(self) -> None:
        """Deliver messages again, those that waited first."""
        ...

    async def flushed(self) -> None:
        """Wait until all that was sent has gone to the socket, or never will."""
        ...


class StreamHandler(Protocol):
    """Hears what the client does in one call. What it raises ends the call."""

    def messages(self, messages: list[bytes]) -> None:
        """Take all the messages that arrived in one read, one or more."""
        ...

    def half_closed(self) -> None:
        """The client sends no more; it waits for the rest, and for `finish`."""
        ...

    def cancelled(self) -> None:
        """The call is over without our doing: the client left, or its deadline passed."""
        ...


UnaryHandler = Callable[[bytes, UnaryCall], bytes | Awaitable[bytes]]
"""Takes the message, gives the answer: at once, as a future, or by an `async def`.

An answer that is given at once costs no task. Where the client leaves or its deadline passes, the
task or future is cancelled. A handler raises RpcError to end the call with a status.
"""
StreamHandlerFactory = Callable[[StreamCall], StreamHandler]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """What one method does; one of the two is set."""

    unary: UnaryHandler | None = None
    stream: StreamHandlerFactory | None = None


class Router:
    """The methods of a server, by their full paths."""

    def __init__(self) -> None:
        self._routes: dict[str, Route] = {}

    def unary(self, path: str, handler: UnaryHandler) -> None:
        """Let `handler` answer a method of one message and one answer."""
        self._add(path, Route(unary=handler))

    def stream(self, path: str, factory: StreamHandlerFactory) -> None:
        """Let what `factory` makes, for each call, handle a method with any stream in it."""
        self._add(path, Route(stream=factory))

    def find(self, path: str) -> Route | None:
        """Return what a method does, or None where there is no such method."""
        return self._routes.get(path)

    def paths(self) -> list[str]:
        """Return the methods that there are."""
        return sorted(self._routes)

    def _add(self, path: str, route: Route) -> None:
        if not path.startswith("/") or path.count("/") != 2:  # noqa: PLR2004
            raise ValueError(f"method path {path!r}: expected /package.Service/Method")
        if path in self._routes:
            raise ValueError(f"method path {path!r} is taken")
        self._routes[path] = route
