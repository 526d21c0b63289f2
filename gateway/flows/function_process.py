"""What a function process does.

It calls the functions of installed packages, one at a time, in its main thread. Modules,
connections and models stay in memory from call to call, and so does the event loop of async
functions.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from importlib.metadata import entry_points
from typing import Any

import orjson

from gateway.children.child import Answer
from gateway.errors import GatewayError
from gateway.flows.json_output import dump_values, load_values
from gateway.flows.node_types.handler import NodeError
from gateway.flows.node_types.python import GROUP

Function = Callable[[Any], Any]
"""Any: JSON, in and out."""


class UnusableError(Exception):
    """An entry point cannot be called; the message says why."""


class FunctionProcess:
    """Answers requests: `{"kind": "check" or "call", "function"}` and inputs as the body."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()

    def answer(self, request: bytes, body: bytes) -> bytes:
        """Answer one request; MemoryError is for the caller."""
        task = orjson.loads(request)
        name = task["function"]
        try:
            function = load(name)
        except UnusableError as error:
            return _failure(NodeError("python_failed", f"{name}: {error}"), error=str(error))
        if task["kind"] == "check":
            return orjson.dumps({})
        try:
            value = dump_values(self._call(function, load_values(body)))
        except MemoryError:
            raise
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a function may raise anything
            return _failure(_node_error(name, error))
        return orjson.dumps({"value": orjson.Fragment(value)})

    def _call(self, function: Function, inputs: Any) -> Any:
        result = function(inputs)
        return self._runner.run(_awaited(result)) if inspect.isawaitable(result) else result


@cache
def load(name: str) -> Function:
    """Import the function behind an entry point.

    Raises:
        UnusableError: it cannot be imported, or is no function.
    """
    found = entry_points(group=GROUP, name=name)
    if not found:
        raise UnusableError("it is not installed")
    try:
        function = found[name].load()
    except (Exception, SystemExit) as error:  # a third-party package may raise anything
        raise UnusableError(f"it cannot be imported: {error!r}") from error
    if not callable(function):
        raise UnusableError(f"expected a function, got {type(function).__name__}")
    loaded: Function = function
    return loaded


def _load_all() -> None:
    """Import all functions, so that no call has to wait for it. Calls report what went wrong."""
    for name in entry_points(group=GROUP).names:
        with suppress(UnusableError):
            load(name)


async def _awaited(result: Any) -> Any:
    return await result


def _node_error(name: str, error: BaseException) -> NodeError:
    if isinstance(error, NodeError | GatewayError):
        return NodeError.of(error)
    retryable = isinstance(error, TimeoutError | ConnectionError)
    return NodeError(
        "python_failed",
        f"{name}: {type(error).__name__}: {error}"[:1000],
        retryable=bool(getattr(error, "retryable", retryable)),
    )


def _failure(node_error: NodeError, **more: str) -> bytes:
    failure = {
        "code": str(node_error.code),
        "message": node_error.message.encode(errors="replace").decode(),
        "retryable": node_error.retryable,
        "retry_after": node_error.retry_after,
    }
    return orjson.dumps({"failure": failure, **more})


def start() -> Answer:
    """Prepare this process; nothing that is not ours was imported before."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    _load_all()
    return FunctionProcess().answer
