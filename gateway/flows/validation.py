"""What is wrong with a flow, collected, so that its author hears of everything at once."""

from __future__ import annotations

from gateway.errors import GatewayError
from protos.errors import ErrorCode

_SHOWN = 50


def pointer_token(name: str) -> str:
    """Return `name` as it is written in a JSON pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")


class ValidationErrors:
    """Complaints, each with a JSON pointer into the flow."""

    def __init__(self) -> None:
        self._found: list[dict[str, str]] = []

    def add(self, pointer: str, detail: str) -> None:
        """Complain about the value at `pointer`, such as `#/nodes/2/config/model`."""
        self._found.append({"detail": detail, "pointer": pointer})

    @property
    def any(self) -> bool:
        """Whether there are complaints so far."""
        return bool(self._found)

    def raise_if_any(self) -> None:
        """Raise INVALID_FLOW if anything was found; the first complaint is the message."""
        if not self._found:
            return
        first, *others = self._found
        more = f" (and {len(others)} more)" if others else ""
        message = f"{first['pointer']}: {first['detail']}{more}"
        raise GatewayError(ErrorCode.INVALID_FLOW, message, errors=self._found[:_SHOWN])
