"""python: calls a function of an installed package. Never code that came through the API.

A package registers functions under the entry-point group `slipstream.nodes`. A function takes one
argument, the node's inputs as a dict, and returns JSON; it may be async. What it raises fails the
node; raise TimeoutError, ConnectionError, or anything with a true attribute `retryable`, where
another attempt may go better. A function that is not async runs in a thread, which nobody can stop:
after the deadline its result is dropped.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any

from gateway.errors import GatewayError
from gateway.flows.kinds.kind import Kind, Moment, Step, StepError
from gateway.flows.reader import Reader
from gateway.flows.scope import Scope

GROUP = "slipstream.nodes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Python:
    """Which function, and with what."""

    function: str
    """Name of the entry point."""
    inputs: Mapping[str, str] | None
    """Name → expression; None: what the nodes before gave, each by its id."""


def _read(reader: Reader) -> Python:
    reader.known({"function", "inputs"})
    return Python(
        function=reader.text("function", f"the name of an entry point of {GROUP}"),
        inputs=reader.expressions("inputs"),
    )


def _compile(config: Python, scope: Scope) -> Step:
    function = _load(config.function, scope)
    before = scope.before
    fields = None if config.inputs is None else scope.fields("inputs", config.inputs)
    waits = _is_async(function)

    async def perform(moment: Moment) -> Any:
        values = moment.values
        inputs = {one: values[one] for one in before} if fields is None else fields.evaluate(values)
        try:
            if waits:
                return await function(inputs)
            return await asyncio.to_thread(function, inputs)
        except (GatewayError, StepError):
            raise
        except Exception as error:  # noqa: BLE001 - somebody else's code may raise anything
            raise _failure(config.function, error) from error

    return Step(perform=perform)


def _load(name: str, scope: Scope) -> Callable[[dict[str, Any]], Any]:
    found = entry_points(group=GROUP)
    if name not in found.names:
        known = ", ".join(sorted(found.names)) or "none is installed"
        scope.complain("function", f"there is no '{name}' in {GROUP}; there is: {known}")
        return _nothing
    try:
        function = found[name].load()
    except Exception as error:  # noqa: BLE001 - somebody else's package may raise anything
        scope.complain("function", f"'{name}' cannot be imported: {error!r}")
        return _nothing
    if not callable(function):
        scope.complain("function", f"'{name}' is a {type(function).__name__}, not a function")
        return _nothing
    loaded: Callable[[dict[str, Any]], Any] = function
    return loaded


def _is_async(function: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        type(function).__call__
    )


def _failure(name: str, error: Exception) -> StepError:
    retryable = isinstance(error, TimeoutError | ConnectionError)
    return StepError(
        "python_failed",
        f"{name}: {type(error).__name__}: {error}"[:1000],
        retryable=bool(getattr(error, "retryable", retryable)),
    )


def _nothing(_inputs: dict[str, Any]) -> None:
    return None


KIND = Kind(type="python", read=_read, compile=_compile)
