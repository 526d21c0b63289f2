"""Collects all errors of a flow, so that its author sees them at once. Pure."""

from __future__ import annotations

from gateway.errors import GatewayError
from protos.errors import ErrorCode

_MAX_ITEMS = 50


def pointer_token(name: str) -> str:
    """Escape `name` for use in a JSON pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")


class InvalidSchemaError(Exception):
    """An input schema that is not valid JSON Schema, or uses an unsupported keyword."""

    def __init__(self, pointer: str, detail: str) -> None:
        super().__init__(f"{pointer}: {detail}")
        self.pointer = pointer
        self.detail = detail


class ValidationErrors:
    """Error messages, each with a JSON pointer into the flow."""

    def __init__(self) -> None:
        self._items: list[dict[str, str]] = []

    def add(self, pointer: str, detail: str) -> None:
        """Add an error about the value at `pointer`, such as `#/nodes/2/config/model`."""
        self._items.append({"detail": detail, "pointer": pointer})

    @property
    def any(self) -> bool:
        """Whether there are any errors so far."""
        return bool(self._items)

    @property
    def first(self) -> str:
        """The first error."""
        return self._items[0]["detail"]

    def raise_if_any(self) -> None:
        """Raise INVALID_FLOW if there are errors; the message is the first one."""
        if not self._items:
            return
        first, *others = self._items
        more = f" (and {len(others)} more)" if others else ""
        message = f"{first['pointer']}: {first['detail']}{more}"
        raise GatewayError(ErrorCode.INVALID_FLOW, message, errors=self._items[:_MAX_ITEMS])
