"""What the flow engine needs of the world, as ports. Pure.

The engine never closes a port. It may use one for several nodes, and several runs, at once. When it
cancels a call (at the deadline, or because the run was cancelled), the port stops the work behind it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceCall:
    """One question to a model."""

    node_id: str
    """The node that asks: a deployment pins the model's version by it."""
    model: str
    version: str
    """As the flow says: `latest`, a number or a label."""
    inputs: Mapping[str, Any]
    """Tensor → JSON value: numbers, strings, or lists of them."""
    exact: bool
    """False where `inputs` is all that the node before gave: take the model's own inputs out of it,
    and ignore the rest."""


class InferencePort(Protocol):
    """Asks models."""

    async def infer(self, call: InferenceCall, deadline: float) -> dict[str, Any]:
        """Return the outputs, tensor → JSON value; by `deadline` (`time.monotonic()`), or raise.

        Raises:
            GatewayError: the model's refusal, or why no inference server answered.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpCall:
    """One HTTP request."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None
    max_bytes: int
    """The reply's body may be this long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpReply:
    """What came back, whatever its status."""

    status: int
    headers: Mapping[str, str]
    """By lower-case name."""
    body: bytes


class HttpPort(Protocol):
    """Sends HTTP requests to where they may go."""

    async def send(self, call: HttpCall, deadline: float) -> HttpReply:
        """Return the reply by `deadline` (`time.monotonic()`), or raise. Follows no redirect.

        Raises:
            GatewayError: BLOCKED_TARGET where the URL leads to a place that is off limits,
                UPSTREAM_UNREACHABLE where there was no reply, or one that is too long.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The ports of one process."""

    inference: InferencePort
    http: HttpPort
