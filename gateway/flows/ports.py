"""What a flow needs of the world outside: pure descriptions, implemented elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceCall:
    """One call of a model. Any: JSON values by tensor name."""

    model: str
    version: str
    inputs: Mapping[str, Any]


class InferencePort(Protocol):
    """Calls models."""

    async def infer(self, call: InferenceCall, deadline: float) -> dict[str, Any]:
        """Return the outputs by name; `deadline` is the event loop's time. Raises GatewayError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpCall:
    """One request to the world outside."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None
    max_bytes: int
    """The most that the reply's body may have, decompressed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpReply:
    """What came back, whatever the status."""

    status: int
    headers: Mapping[str, str]
    """By name in lower case; several of one name are joined by a comma."""
    body: bytes


class HttpPort(Protocol):
    """Sends requests to the world outside."""

    async def send(self, call: HttpCall, deadline: float) -> HttpReply:
        """Return the reply; `deadline` is the event loop's time.

        Raises:
            GatewayError: BLOCKED_TARGET, UPSTREAM_UNREACHABLE.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """All of them."""

    inference: InferencePort
    http: HttpPort
