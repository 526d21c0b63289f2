"""Expiry and state of API keys."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

from gateway.errors import GatewayError
from gateway.storage.tables import ApiKey
from protos.errors import ErrorCode

MAX_LIFETIME = timedelta(days=3650)
"""The latest expiry from now; a key for longer has none."""


class KeyState(StrEnum):
    """A key's state. `active` and `rotating` keys are valid."""

    ACTIVE = "active"
    ROTATING = "rotating"
    """It was replaced, and is valid until its grace period ends."""
    EXPIRED = "expired"
    """Its expiry, or its grace period, has passed."""
    DEACTIVATED = "deactivated"
    """It was deactivated, and can be activated again."""


def ends_at(key: ApiKey) -> datetime | None:
    """Return when the key stops being valid; None: never."""
    ends = [moment for moment in (key.expires_at, key.grace_ends_at) if moment is not None]
    return min(ends, default=None)


def state_at(key: ApiKey, moment: datetime) -> KeyState:
    """Return the key's state at `moment`."""
    if key.state != KeyState.ACTIVE:
        return KeyState.DEACTIVATED
    end = ends_at(key)
    if end is not None and end <= moment:
        return KeyState.EXPIRED
    return KeyState.ACTIVE if key.grace_ends_at is None else KeyState.ROTATING


def check_expiry(expires_at: datetime | None, moment: datetime) -> None:
    """Raise VALIDATION_FAILED unless `expires_at` is in the permitted range after `moment`."""
    if expires_at is None or moment < expires_at <= moment + MAX_LIFETIME:
        return
    message = (
        f"expires_at: expected a time within the next {MAX_LIFETIME.days} days, got "
        f"{expires_at.isoformat()}; to end a key at once, deactivate or delete it"
    )
    raise GatewayError(ErrorCode.VALIDATION_FAILED, message)


def renewed_expiry(key: ApiKey, moment: datetime) -> datetime | None:
    """Return the expiry of the key's replacement, which gets the same lifetime from `moment`."""
    if key.expires_at is None:
        return None
    return moment + min(key.expires_at - key.created_at, MAX_LIFETIME)
