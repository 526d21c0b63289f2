"""wait: pauses for some seconds."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from gateway.flows.cel.values import finite_number
from gateway.flows.compile_context import CompileContext
from gateway.flows.config_fields import NON_BLANK, ConfigForm, Widget, custom_field
from gateway.flows.config_reader import ConfigReader
from gateway.flows.node_types.handler import (
    NodeError,
    NodeHandler,
    Perform,
    Prepare,
    RunContext,
)
from gateway.flows.node_types.presentation import NodeGroup, NodePresentation

_MAX_SECONDS = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """The configuration."""

    seconds: float | str
    """At most a day; a string is an expression."""


def _read_seconds(reader: ConfigReader) -> float | str:
    if isinstance(reader.members.get("seconds"), str):
        return reader.text("seconds", "seconds, or an expression")
    if "seconds" not in reader.members:
        reader.add_error("seconds", "expected seconds, or an expression")
    return reader.number("seconds", 0.0, minimum=0, maximum=_MAX_SECONDS)


_SECONDS = custom_field(
    "seconds",
    "Seconds",
    "How long to pause: a number, or an expression.",
    widget=Widget.EXPRESSION,
    schema={**NON_BLANK, "type": ["number", "string"], "minimum": 0, "maximum": _MAX_SECONDS},
    read=_read_seconds,
    required=True,
)
_FORM = ConfigForm(fields=(_SECONDS,))


def _read(reader: ConfigReader) -> Wait:
    reader.allow_only(_FORM.names)
    return Wait(seconds=_SECONDS.read(reader))


def _prepare(config: Wait, context: CompileContext) -> Prepare:
    seconds = config.seconds
    if isinstance(seconds, str):
        return context.expression("seconds", seconds).evaluate
    return lambda _: seconds


def _perform(_config: Wait, _context: CompileContext) -> Perform:
    return _pause


async def _pause(_run: RunContext, value: Any) -> dict[str, float]:
    seconds = _seconds(value)
    await asyncio.sleep(seconds)
    return {"seconds": seconds}


def _seconds(value: Any) -> float:
    seconds = finite_number(value)
    if seconds is None or not 0 <= seconds <= _MAX_SECONDS:
        message = f"seconds: expected a number from 0 to {_MAX_SECONDS:g}, got {value!r}"
        raise NodeError("invalid_value", message, unfit_value=True)
    return seconds


HANDLER = NodeHandler(
    type="wait",
    shown=NodePresentation(
        title="Wait",
        description="Pauses for some seconds.",
        icon="timer",
        group=NodeGroup.CONTROL,
        initial={"seconds": 1},
    ),
    form=_FORM,
    read=_read,
    prepare=_prepare,
    perform=_perform,
    waits=True,
)
