"""Collects all errors of a flow, so that its author sees them at once. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from gateway.errors import GatewayError
from protos.errors import ErrorCode

_MAX_ITEMS = 50
"""Errors in the answer to an invalid flow."""
_MAX_KEPT = 1_000


def pointer_token(name: str) -> str:
    """Escape `name` for use in a JSON pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")


class InvalidSchemaError(Exception):
    """An input schema that is not valid JSON Schema, or uses an unsupported keyword."""

    def __init__(self, pointer: str, detail: str) -> None:
        super().__init__(f"{pointer}: {detail}")
        self.pointer = pointer
        self.detail = detail


class ProblemCode(StrEnum):
    """What an error or a warning about a flow is about."""

    INVALID_FLOW = "invalid_flow"
    """The document: its size, depth or form."""
    INVALID_ID = "invalid_id"
    UNKNOWN_TYPE = "unknown_type"
    INVALID_CONFIG = "invalid_config"
    """A member of a node's configuration, or of its `retry` or `on_error`."""
    INVALID_EXPRESSION = "invalid_expression"
    UNKNOWN_REFERENCE = "unknown_reference"
    """An expression reads a node that does not exist, or does not run before."""
    INVALID_SCHEMA = "invalid_schema"
    UNKNOWN_FUNCTION = "unknown_function"
    """A Python node is not installed, or cannot be imported."""
    INVALID_EDGE = "invalid_edge"
    CYCLE = "cycle"
    UNREACHABLE = "unreachable"
    """The flow can be saved, but not deployed."""
    SECOND_INPUT = "second_input"
    """The flow can be saved, but not deployed."""
    UNKNOWN_MODEL = "unknown_model"
    """There is no such model, version or label that the user may use. The flow can be saved, but
    not deployed."""


class ValidationError(NamedTuple):
    """One error."""

    pointer: str
    """JSON pointer into the flow, such as `#/nodes/2/config/model`."""
    detail: str
    code: ProblemCode


class ValidationErrors:
    """Error messages, each with a JSON pointer into the flow. The first ones are kept."""

    def __init__(self) -> None:
        self.items: list[ValidationError] = []
        self._count = 0

    def add(
        self, pointer: str, detail: str, code: ProblemCode = ProblemCode.INVALID_CONFIG
    ) -> None:
        """Add an error about the value at `pointer`, such as `#/nodes/2/config/model`."""
        self._count += 1
        if self._count <= _MAX_KEPT:
            self.items.append(ValidationError(pointer, detail, code))

    @property
    def any(self) -> bool:
        """Whether there are any errors so far."""
        return bool(self.items)

    @property
    def first(self) -> str:
        """The first error."""
        return self.items[0].detail

    def raise_if_any(self) -> None:
        """Raise INVALID_FLOW if there are errors; the message is the first one."""
        if not self.items:
            return
        first = self.items[0]
        more = f" (and {self._count - 1} more)" if self._count > 1 else ""
        shown = [{"detail": one.detail, "pointer": one.pointer} for one in self.items[:_MAX_ITEMS]]
        raise GatewayError(
            ErrorCode.INVALID_FLOW, f"{first.pointer}: {first.detail}{more}", errors=shown
        )
