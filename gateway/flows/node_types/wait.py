"""wait: pauses for some seconds."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from gateway.flows.cel.values import finite_number
from gateway.flows.compile_context import CompileContext
from gateway.flows.config_reader import ConfigReader
from gateway.flows.node_types.handler import NodeError, NodeHandler, NodeStep, RunContext

_MAX_SECONDS = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """The configuration."""

    seconds: float | str
    """At most a day; a string is an expression."""


def _read(reader: ConfigReader) -> Wait:
    reader.allow_only({"seconds"})
    if isinstance(reader.members.get("seconds"), str):
        return Wait(seconds=reader.text("seconds", "seconds, or an expression"))
    if "seconds" not in reader.members:
        reader.add_error("seconds", "expected seconds, or an expression")
    return Wait(seconds=reader.number("seconds", 0.0, minimum=0, maximum=_MAX_SECONDS))


def _compile(config: Wait, context: CompileContext) -> NodeStep:
    source = config.seconds if isinstance(config.seconds, str) else repr(config.seconds)
    expression = context.expression("seconds", source)

    async def perform(run: RunContext) -> dict[str, float]:
        seconds = _seconds(expression.evaluate(run.values))
        await asyncio.sleep(seconds)
        return {"seconds": seconds}

    return NodeStep(perform=perform)


def _seconds(value: Any) -> float:
    seconds = finite_number(value)
    if seconds is None or not 0 <= seconds <= _MAX_SECONDS:
        message = f"seconds: expected a number from 0 to {_MAX_SECONDS:g}, got {value!r}"
        raise NodeError("invalid_value", message)
    return seconds


HANDLER = NodeHandler(type="wait", read=_read, compile=_compile)
