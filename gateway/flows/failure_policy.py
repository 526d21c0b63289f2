"""What happens if a node fails: how often it is retried, and whether the flow continues. Pure."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.flows.config_fields import ConfigForm, count_field, number_field
from gateway.flows.config_reader import ConfigReader
from gateway.flows.json_output import check_json
from gateway.flows.node_types.handler import NodeError
from gateway.flows.validation import ValidationErrors

_MAX_DELAY = 300.0
_MAX_ATTEMPTS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often a node is tried if its failure is retryable."""

    attempts: int = 1
    """In total, including the first one."""
    delay_seconds: float = 1.0
    """Before the second attempt."""
    backoff: float = 2.0
    """Factor between consecutive delays."""

    def delay(self, attempt: int) -> float:
        """Return the seconds to wait after the failed `attempt`, counted from 1."""
        return min(self.delay_seconds * self.backoff ** (attempt - 1), _MAX_DELAY)


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorPolicy:
    """What happens after the last attempt of a node has failed."""

    continues: bool = False
    """False: the run fails."""
    output: Any = None
    """Replaces the node's output if the flow continues. Any: JSON."""


_ATTEMPTS = count_field(
    "attempts",
    "Attempts",
    "In total, including the first one.",
    default=3,
    minimum=1,
    maximum=_MAX_ATTEMPTS,
)
_DELAY = number_field(
    "delay_seconds",
    "Delay",
    "Seconds before the second attempt.",
    default=1.0,
    minimum=0,
    maximum=_MAX_DELAY,
)
_BACKOFF = number_field(
    "backoff",
    "Backoff",
    "Factor between consecutive delays.",
    default=2.0,
    minimum=1,
    maximum=10,
)
RETRY_FORM = ConfigForm(fields=(_ATTEMPTS, _DELAY, _BACKOFF))
"""The members of a node's `retry`."""
# Any: JSON Schema
ON_ERROR_SCHEMA: Mapping[str, Any] = {
    "default": "fail",
    "oneOf": [
        {"title": "The run fails", "const": "fail"},
        {"title": "The flow continues with null", "const": "continue"},
        {
            "title": "The flow continues with a value",
            "type": "object",
            "properties": {"fallback": {"title": "Value"}},
            "required": ["fallback"],
            "additionalProperties": False,
        },
    ],
}
"""What `read_on_error` accepts."""


def read_retry(raw: Mapping[str, Any], pointer: str, errors: ValidationErrors) -> RetryPolicy:
    """Read the node's `retry`."""
    members = ConfigReader(raw, pointer, errors).object("retry")
    if not members:
        return RetryPolicy()
    reader = ConfigReader(members, f"{pointer}/retry", errors)
    reader.allow_only(RETRY_FORM.names)
    return RetryPolicy(
        attempts=_ATTEMPTS.read(reader),
        delay_seconds=_DELAY.read(reader),
        backoff=_BACKOFF.read(reader),
    )


def read_on_error(raw: Mapping[str, Any], pointer: str, errors: ValidationErrors) -> ErrorPolicy:
    """Read the node's `on_error`."""
    value = raw.get("on_error", "fail")
    if value == "fail":
        return ErrorPolicy()
    if value == "continue":
        return ErrorPolicy(continues=True)
    if isinstance(value, dict) and set(value) == {"fallback"}:
        try:
            check_json(value["fallback"])
        except NodeError as error:
            errors.add(f"{pointer}/on_error/fallback", error.message)
            return ErrorPolicy()
        return ErrorPolicy(continues=True, output=value["fallback"])
    expected = 'expected "fail", "continue" or {"fallback": value}'
    errors.add(f"{pointer}/on_error", f"{expected}, got {reprlib.repr(value)}")
    return ErrorPolicy()
