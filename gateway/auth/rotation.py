"""Key rotation: a replacement, and a grace period in which both keys are valid."""

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

_INHERITED_COLUMNS = (
    "profile_id",
    "name",
    "environment",
    "scope",
    "deployments",
    "limits",
    "all_runs",
)


# Any: the columns have several types
def inherited_columns(key: ApiKey, moment: datetime) -> dict[str, Any]:
    """Return the columns of the key that replaces `key` at `moment`."""
    columns = {name: getattr(key, name) for name in _INHERITED_COLUMNS}
    return {**columns, "expires_at": renewed_expiry(key, moment), "replaces": key.id}


async def rotation_chain(
    session: AsyncSession, key: ApiKey, moment: datetime, *, force: bool
) -> list[ApiKey]:
    """Return the keys to replace: `key`, and the replacements that it already has.

    Raises:
        GatewayError: CONFLICT, unless `force`: the last rotation's grace period has not ended, or
            the key was replaced already.
    """
    chain = [key, *await store.successors(session, key)]
    if force:
        return chain
    if len(chain) > 1:
        newest = chain[-1].id
        message = (
            f"the key was rotated already and replaced by {newest}: rotate that key, or, if it "
            'was lost, send {"force": true} to replace both'
        )
        raise GatewayError(ErrorCode.CONFLICT, message)
    replaced = await store.predecessor(session, key)
    if replaced and replaced.grace_ends_at and replaced.grace_ends_at > moment:
        message = (
            f"the key replaced {replaced.id}, which is valid until "
            f"{replaced.grace_ends_at.isoformat()}: end that grace period first, or send "
            '{"force": true}'
        )
        raise GatewayError(ErrorCode.CONFLICT, message)
    return chain


def replace_keys(
    chain: Sequence[ApiKey], replacement: ApiKey, moment: datetime, grace: timedelta
) -> None:
    """Replace all keys of `chain`. A grace period that has ended is not extended."""
    for key in chain:
        key.replaced_by = replacement.id
        if key.grace_ends_at is None or key.grace_ends_at > moment:
            key.grace_ends_at = moment + grace
        if key.rotated_at is None:
            key.rotated_at = moment


def end_grace(key: ApiKey, moment: datetime) -> bool:
    """End the grace period; return False if it had ended. Raise CONFLICT if there is none."""
    if key.grace_ends_at is None:
        message = (
            "the key was not rotated, so it has no grace period: deactivate or delete it instead"
        )
        raise GatewayError(ErrorCode.CONFLICT, message)
    if key.grace_ends_at <= moment:
        return False
    key.grace_ends_at = moment
    return True
