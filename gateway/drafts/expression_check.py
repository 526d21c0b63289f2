"""Evaluates an expression with given values, where those of runs are evaluated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from time import monotonic
from typing import Any

from gateway.errors import GatewayError
from gateway.flows.node_types.handler import NodeError
from gateway.flows.processes import FlowProcesses
from protos.errors import ErrorCode
from telemetry.redaction import redact_message

_SECONDS = 30.0
"""For the evaluation, with the wait for an evaluator."""
_TOO_LONG = frozenset({ErrorCode.EVALUATION_LIMIT, ErrorCode.DEADLINE_EXCEEDED})


class ExpressionKind(StrEnum):
    """What is evaluated."""

    EXPRESSION = "expression"
    TEMPLATE = "template"
    """Text with expressions in `{{ }}`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpressionStep:
    """A path that is read, or an expression of a template, with its value (Any: JSON)."""

    text: str
    start: int
    end: int
    value: Any
    type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpressionFailure:
    """Why there is no value. Offsets are in UTF-16 code units, as browsers count."""

    message: str
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpressionCheck:
    """The value, or why there is none (Any: JSON)."""

    value: Any
    type: str | None
    steps: Sequence[ExpressionStep]
    failure: ExpressionFailure | None


async def check_expression(
    processes: FlowProcesses,
    profile_id: str,
    text: str,
    values: Mapping[str, Any],
    *,
    kind: ExpressionKind,
) -> ExpressionCheck:
    """Evaluate `text` with the outputs of nodes by id, within a run's limits.

    Raises:
        GatewayError: VALIDATION_FAILED for text or values that an evaluator cannot read; OVERLOADED
            or SHUTTING_DOWN if no evaluator is free.
    """
    _check_text(text)
    evaluator = processes.evaluator(profile_id)
    is_template = kind is ExpressionKind.TEMPLATE
    try:
        found = await evaluator.inspect(
            text, values, monotonic() + _SECONDS, is_template=is_template
        )
    except NodeError as error:  # of the values, which no node could have as its output
        raise GatewayError(ErrorCode.VALIDATION_FAILED, f"values: {error.message}") from None
    except GatewayError as error:
        if error.code not in _TOO_LONG:
            raise
        failure = _failure({"message": error.message, "start": 0, "end": len(text)}, text)
        return ExpressionCheck(value=None, type=None, steps=(), failure=failure)
    failed = found["failure"]
    return ExpressionCheck(
        value=found["value"],
        type=found["type"],
        steps=[
            ExpressionStep(
                text=step["text"],
                start=_offset(text, step["start"]),
                end=_offset(text, step["end"]),
                value=step["value"],
                type=step["type"],
            )
            for step in found["steps"]
        ],
        failure=None if failed is None else _failure(failed, text),
    )


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        message = "expression: a lone surrogate is not valid Unicode"
        raise GatewayError(ErrorCode.VALIDATION_FAILED, message) from None


def _failure(members: Mapping[str, Any], text: str) -> ExpressionFailure:
    return ExpressionFailure(
        message=redact_message(members["message"]),
        start=_offset(text, members["start"]),
        end=_offset(text, members["end"]),
    )


def _offset(text: str, characters: int) -> int:
    return len(text[:characters].encode("utf-16-le", "surrogatepass")) // 2
