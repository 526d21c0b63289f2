"""Keys as they are shown: row, current state and warnings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from gateway.auth import store
from gateway.auth.key_warnings import KeyWarning, key_warnings
from gateway.auth.lifetime import KeyState, state_at
from gateway.storage.clock import now
from gateway.storage.tables import ApiKey


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyView:
    """A key's row, current state and warnings."""

    row: ApiKey
    state: KeyState
    warnings: Sequence[KeyWarning]


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedKey(KeyView):
    """A key that was just created, with its secret, which cannot be read again."""

    plain: str


async def load_views(
    session: AsyncSession, profile_id: str, rows: Sequence[ApiKey], *, old_after: timedelta
) -> list[KeyView]:
    """Return the views of a profile's keys, in the same order."""
    deployments = await store.deployments_in_use(session, profile_id) if rows else set()
    moment = now()
    return [
        KeyView(
            row=row,
            state=state_at(row, moment),
            warnings=key_warnings(row, moment, deployments=deployments, old_after=old_after),
        )
        for row in rows
    ]
