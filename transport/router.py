"""The methods of a server and their handlers."""

from __future__ import annotations

from dataclasses import dataclass

from transport.server_streams import StreamHandlerFactory, UnaryHandler


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

    def _add(self, path: str, handler: MethodHandler) -> None:
        if not path.startswith("/") or path.count("/") != 2:  # noqa: PLR2004
            raise ValueError(f"method path {path!r}: expected /package.Service/Method")
        if path in self._methods:
            raise ValueError(f"method path {path!r} is already registered")
        self._methods[path] = handler
