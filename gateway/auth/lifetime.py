"""How long a key is good, and what it is at a moment. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

from gateway.errors import GatewayError
from gateway.storage.tables import ApiKey
from protos.errors import ErrorCode

MAX_LIFETIME = timedelta(days=3650)
"""From now to the farthest expiry; a key that is to live longer has none."""


class KeyState(StrEnum):
    """What a key is at a moment. `active` and `rotating` ones open something."""

    ACTIVE = "active"
    ROTATING = "rotating"
    """Another key has taken its place; it works until the grace ends."""
    EXPIRED = "expired"
    """Its expiry, or its grace, is over."""
    DEACTIVATED = "deactivated"
    """Somebody has turned it off, and can turn it on again."""


def ends_at(key: ApiKey) -> datetime | None:
    """Return from when on the key answers 401; None means never."""
    ends = [moment for moment in (key.expires_at, key.grace_ends_at) if moment is not None]
    return min(ends, default=None)


def state_at(key: ApiKey, moment: datetime) -> KeyState:
    """Return what the key is at `moment`."""
    if key.state != KeyState.ACTIVE:
        return KeyState.DEACTIVATED
    end = ends_at(key)
    if end is not None and end <= moment:
        return KeyState.EXPIRED
    return KeyState.ACTIVE if key.grace_ends_at is None else KeyState.ROTATING


def check_expiry(expires_at: datetime | None, moment: datetime) -> None:
    """Raise VALIDATION_FAILED where a key made or changed at `moment` cannot end then."""
    if expires_at is None or moment < expires_at <= moment + MAX_LIFETIME:
        return
    message = (
        f"expires_at: expected a time within the next {MAX_LIFETIME.days} days, got "
        f"{expires_at.isoformat()}; to end a key at once, deactivate or delete it"
    )
    raise GatewayError(ErrorCode.VALIDATION_FAILED, message)


def renewed_expiry(key: ApiKey, moment: datetime) -> datetime | None:
    """Return when a key that takes its place at `moment` ends: it is given as long a life."""
    if key.expires_at is None:
        return None
    return moment + min(key.expires_at - key.created_at, MAX_LIFETIME)
