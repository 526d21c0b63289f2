"""python: calls a function of an installed package, never code received through the API.

A package registers functions under the entry-point group `slipstream.nodes`. A function takes one
argument, the node's inputs as a dict, and returns JSON; it may be async. Any exception fails the
node. TimeoutError, ConnectionError, and exceptions with a true attribute `retryable` are retryable.
A function that is not async runs in a thread. Threads cannot be interrupted: after the deadline the
result is discarded.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any

from gateway.errors import GatewayError
from gateway.flows.compile_context import CompileContext
from gateway.flows.config_reader import ConfigReader
from gateway.flows.node_types.handler import (
    NodeError,
    NodeHandler,
    Perform,
    Prepare,
    RunContext,
)

GROUP = "slipstream.nodes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Python:
    """The configuration."""

    function: str
    """The name of the entry point."""
    inputs: Mapping[str, str] | None
    """Name → expression; None: the outputs of the preceding nodes, by id."""


def _read(reader: ConfigReader) -> Python:
    reader.allow_only({"function", "inputs"})
    return Python(
        function=reader.text("function", f"the name of an entry point of {GROUP}"),
        inputs=reader.expressions("inputs"),
    )


def _prepare(config: Python, context: CompileContext) -> Prepare:
    if config.inputs is not None:
        return context.fields("inputs", config.inputs).evaluate
    before = context.before
    return lambda values: {one: values[one] for one in before}


def _perform(config: Python, context: CompileContext) -> Perform:
    function = _load(config.function, context)
    waits = _is_async(function)

    async def call(_run: RunContext, inputs: dict[str, Any]) -> Any:
        try:
            if waits:
                return await function(inputs)
            return await asyncio.to_thread(function, inputs)
        except (GatewayError, NodeError):
            raise
        except Exception as error:
            raise _failure(config.function, error) from error

    return call


def _load(name: str, context: CompileContext) -> Callable[[dict[str, Any]], Any]:
    found = entry_points(group=GROUP)
    if name not in found.names:
        if found.names:
            installed = f"expected one of {', '.join(sorted(found.names))}"
        else:
            installed = "no Python nodes are installed"
        context.add_error("function", f"unknown Python node '{name}': {installed}")
        return _no_function
    try:
        function = found[name].load()
    except Exception as error:  # noqa: BLE001 - importing a third-party package may raise anything
        context.add_error("function", f"'{name}' cannot be imported: {error!r}")
        return _no_function
    if not callable(function):
        context.add_error(
            "function", f"'{name}': expected a function, got {type(function).__name__}"
        )
        return _no_function
    loaded: Callable[[dict[str, Any]], Any] = function
    return loaded


def _is_async(function: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        type(function).__call__
    )


def _failure(name: str, error: Exception) -> NodeError:
    retryable = isinstance(error, TimeoutError | ConnectionError)
    return NodeError(
        "python_failed",
        f"{name}: {type(error).__name__}: {error}"[:1000],
        retryable=bool(getattr(error, "retryable", retryable)),
    )


def _no_function(_inputs: dict[str, Any]) -> None:
    return None


HANDLER = NodeHandler(type="python", read=_read, prepare=_prepare, perform=_perform)
