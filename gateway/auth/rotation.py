"""A key takes the place of another, which works on for a while: the grace."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from gateway.auth import store
from gateway.auth.lifetime import renewed_expiry
from gateway.errors import GatewayError
from gateway.storage.tables import ApiKey
from protos.errors import ErrorCode

MAX_GRACE_SECONDS = 7 * 86_400
"""Seconds."""
DEFAULT_GRACE_SECONDS = 86_400
"""Seconds."""

_INHERITED_COLUMNS = ("profile_id", "name", "environment", "scope", "deployments", "limits")


# Any: the columns have several types
def inherited_columns(key: ApiKey, moment: datetime) -> dict[str, Any]:
    """Return the columns of a key that takes the place of `key` at `moment`."""
    columns = {name: getattr(key, name) for name in _INHERITED_COLUMNS}
    return {**columns, "expires_at": renewed_expiry(key, moment), "replaces": key.id}


async def rotation_chain(
    session: AsyncSession, key: ApiKey, moment: datetime, *, force: bool
) -> list[ApiKey]:
    """Return the keys that are to be replaced: `key`, and those that took its place before.

    Raises:
        GatewayError: CONFLICT where a rotation is not over yet, or the key has a successor; not
            with `force`.
    """
    line = [key, *await store.successors(session, key)]
    if force:
        return line
    if len(line) > 1:
        newest = line[-1].id
        message = (
            f"the key was rotated already: its place has been taken by {newest}; rotate that "
            'one, or, where it was lost, send {"force": true} to replace both'
        )
        raise GatewayError(ErrorCode.CONFLICT, message)
    before = await store.predecessor(session, key)
    if before is not None and before.grace_ends_at is not None and before.grace_ends_at > moment:
        message = (
            f"the key took the place of {before.id}, which works until "
            f'{before.grace_ends_at.isoformat()}: end that grace first, or send {{"force": true}}'
        )
        raise GatewayError(ErrorCode.CONFLICT, message)
    return line


def retire(line: Sequence[ApiKey], heir: ApiKey, moment: datetime, grace: timedelta) -> None:
    """Have `heir` take the place of all of `line`; whose grace is over stays out."""
    for key in line:
        key.replaced_by = heir.id
        if key.grace_ends_at is None or key.grace_ends_at > moment:
            key.grace_ends_at = moment + grace
        if key.rotated_at is None:
            key.rotated_at = moment


def end_grace(key: ApiKey, moment: datetime) -> bool:
    """End the grace; return whether it was not over. Raise CONFLICT where the key has none."""
    if key.grace_ends_at is None:
        message = "the key has no grace to end: it was not rotated; deactivate or delete it instead"
        raise GatewayError(ErrorCode.CONFLICT, message)
    if key.grace_ends_at <= moment:
        return False
    key.grace_ends_at = moment
    return True
