"""Limits as a gateway process has them, without the gateway."""

from __future__ import annotations

from typing import Any

from gateway.errors import GatewayError
from gateway.limits.call_limits import CallLimits
from gateway.limits.gate import Gate
from gateway.limits.room import LimitRoom
from gateway.settings import Settings
from telemetry.instruments import Registry

KEY, DEPLOYMENT = "key-1", "deployment-1"


# Any: settings of all types
def room(**settings: Any) -> LimitRoom:
    """Return the limits of a process with these settings."""
    return LimitRoom(Settings(**settings), Registry())


def fast_gate(limits: LimitRoom, key: CallLimits | None, of: CallLimits | None = None) -> Gate:
    """Return the gate of fast calls of DEPLOYMENT by KEY."""
    gate = limits.gates.of_call(KEY, key, DEPLOYMENT, of)
    assert gate is not None
    return gate


async def refusal_of(gate: Gate) -> GatewayError | None:
    """Make a call, and return why it was refused."""
    try:
        await gate.enter_slowly()
    except GatewayError as refusal:
        return refusal
    gate.leave()
    return None


async def let_in(gate: Gate, calls: int) -> int:
    """Make that many calls, and return how many were let in."""
    return sum([await refusal_of(gate) is None for _ in range(calls)])
