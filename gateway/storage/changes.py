"""Changes: what a transaction tells the other processes, whose caches must stay correct.

A write that other processes must see calls `record_change`; `Database.write` commits what was
recorded. Revisions rise by one, and a revision is visible only after all earlier ones, so a reader
that has seen revision n continues with n+1 and misses nothing. `change_feed.py` reads them.
"""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import delete, update
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.storage.tables import Change, ChangeCounter

RETAINED = 10_000
"""Changes that stay readable; a reader further behind reloads everything."""
_PRUNE_EVERY = 256
_RECORDED = "changes"
"""The key of a session's recorded changes."""


class ChangeKind(StrEnum):
    """What kind of entity changed."""

    API_KEY = "api_key"
    CALL_WATCH = "call_watch"
    """A deployment that is watched from now on; its id."""
    DEPLOYMENT = "deployment"
    FLOW = "flow"
    INFERENCE_SERVER = "inference_server"
    MODEL = "model"
    PROFILE = "profile"
    """A user's role or state, or a deleted user."""
    REHEARSAL = "rehearsal"
    """A rehearsal of a deployment's draft; the deployment's id."""
    SESSION = "session"
    """A console session that has ended."""
    WATCHED_CALL = "watched_call"
    """A call of a watched deployment; its id."""


def record_change(
    session: AsyncSession, kind: ChangeKind, entity_id: str, *, owner_id: str | None = None
) -> None:
    """Tell other processes, once the session's transaction is committed, that an entity changed.

    `owner_id` is the profile of an entity that has been deleted: no row says it from then on.
    """
    session.info.setdefault(_RECORDED, {})[kind, entity_id] = owner_id


async def write_changes(session: AsyncSession) -> bool:
    """Write what was recorded, as the transaction's last statements; return whether it was any.

    They lock the one row that all such transactions write. One that locked anything else after it
    could wait for a transaction that waits for the counter.
    """
    recorded = session.info.pop(_RECORDED, None)
    if not recorded:
        return False
    await session.flush()
    count = len(recorded)
    rise = (
        update(ChangeCounter)
        .values(revision=ChangeCounter.revision + count)
        .returning(ChangeCounter.revision)
    )
    last: int = (await session.execute(rise)).scalar_one()
    session.add_all(
        Change(revision=last - count + number, kind=kind, entity_id=entity_id, owner_id=owner_id)
        for number, ((kind, entity_id), owner_id) in enumerate(recorded.items(), start=1)
    )
    if last // _PRUNE_EVERY > (last - count) // _PRUNE_EVERY:
        await session.execute(delete(Change).where(Change.revision <= last - RETAINED))
    return True
