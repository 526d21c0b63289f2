"""Warnings about a key for its owner."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from gateway.auth.identity import Scope
from gateway.auth.lifetime import KeyState, state_at
from gateway.storage.tables import ApiKey

EXPIRES_SOON = timedelta(days=7)


class WarningCode(StrEnum):
    """What a warning is about."""

    SHARED = "shared"
    """The key covers several deployments."""
    OLD = "old"
    """The key was created long ago."""
    EXPIRES_SOON = "expires_soon"
    """The key expires within a week."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyWarning:
    """A warning: a code, and a sentence that says what to do."""

    code: WarningCode
    message: str


def key_warnings(
    key: ApiKey, moment: datetime, *, deployments: Collection[str], old_after: timedelta
) -> list[KeyWarning]:
    """Return the warnings at `moment`; none for a deactivated or expired key.

    `deployments` are the ids of the profile's deployments, without deleted ones.
    """
    state = state_at(key, moment)
    if state in {KeyState.DEACTIVATED, KeyState.EXPIRED}:
        return []
    warnings: list[KeyWarning] = []
    covered = _covered(key, deployments)
    if key.scope == Scope.TRIGGER and covered > 1:
        message = (
            f"this key covers {covered} deployments: give each its own key, so that one can be "
            "rotated or revoked without the others"
        )
        warnings.append(KeyWarning(code=WarningCode.SHARED, message=message))
    if state is KeyState.ROTATING:  # it expires by itself
        return warnings
    age = moment - key.created_at
    if age >= old_after:
        message = f"this key is {age.days} days old: rotate it"
        warnings.append(KeyWarning(code=WarningCode.OLD, message=message))
    if key.expires_at is not None and key.expires_at - moment <= EXPIRES_SOON:
        message = f"this key expires at {key.expires_at.isoformat()}: rotate it before that"
        warnings.append(KeyWarning(code=WarningCode.EXPIRES_SOON, message=message))
    return warnings


def _covered(key: ApiKey, deployments: Collection[str]) -> int:
    if key.deployments is None:
        return len(deployments)
    return len(set(key.deployments) & set(deployments))
