"""wait: lets time pass."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from gateway.flows.expressions import number
from gateway.flows.kinds.kind import Kind, Moment, Step, StepError
from gateway.flows.reader import Reader
from gateway.flows.scope import Scope

_LONGEST = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """For how long."""

    seconds: float | str
    """Up to a day; a string is an expression."""


def _read(reader: Reader) -> Wait:
    reader.known({"seconds"})
    if isinstance(reader.members.get("seconds"), str):
        return Wait(seconds=reader.text("seconds", "seconds, or an expression"))
    if "seconds" not in reader.members:
        reader.complain("seconds", "expected seconds, or an expression")
    return Wait(seconds=reader.number("seconds", 0.0, least=0, most=_LONGEST))


def _compile(config: Wait, scope: Scope) -> Step:
    source = config.seconds if isinstance(config.seconds, str) else repr(config.seconds)
    expression = scope.expression("seconds", source)

    async def perform(moment: Moment) -> dict[str, float]:
        seconds = _seconds(expression.evaluate(moment.values))
        await asyncio.sleep(seconds)
        return {"seconds": seconds}

    return Step(perform=perform)


def _seconds(value: Any) -> float:
    seconds = number(value)
    if seconds is None or not 0 <= seconds <= _LONGEST:
        message = f"seconds: expected a number from 0 to {_LONGEST:g}, got {value!r}"
        raise StepError("invalid_value", message)
    return seconds


KIND = Kind(type="wait", read=_read, compile=_compile)
