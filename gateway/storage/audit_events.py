"""Audit events: who changed what, written in the transaction that makes the change.

The actor is known where a request is authenticated and needed where rows are written, so it is a
context variable: authentication sets `ACTOR`, and every task that serves the request inherits it.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import inspect
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.storage.audit_tables import AuditEvent
from gateway.storage.masking import mask_secrets, mask_text
from gateway.storage.tables import Profile, Table
from gateway.storage.user_storage import check_change

_EXCLUDED_COLUMNS = frozenset(
    {
        *("id", "profile_id", "created_at", "updated_at"),
        *("last_used_at", "last_address", "total_uses", "uses_since_rotation"),
        *("refused_uses", "last_refused_at"),
        *("rollout_seq", "live_rollout_seq"),
    }
)
"""Columns that snapshots leave out: bookkeeping, or stored in a column of the event itself."""
_MAX_NAME_LENGTH = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who makes a change, and from where."""

    profile_id: str | None
    """None: the installation itself, or a client that is not authenticated."""
    key_id: str | None = None
    """The API key, if one was used."""
    session_id: str | None = None
    """The console session, if one was used."""
    address: str | None = None
    """The client's IP address; None for the command line."""
    system_user: str | None = None
    """The operating system's user; only for the command line."""
    request_id: str | None = None
    """The response's `X-Request-Id`."""


SYSTEM = Actor(profile_id=None)

ACTOR: ContextVar[Actor] = ContextVar("ACTOR", default=SYSTEM)
"""The actor of the current task."""


class AuditTarget(StrEnum):
    """What kind of thing an event is about."""

    ADDRESS = "address"
    """A client's IP address."""
    API_KEY = "api_key"
    AUDIT_LOG = "audit_log"
    DEPLOYMENT = "deployment"
    DEPLOYMENT_VERSION = "deployment_version"
    FLOW = "flow"
    HOST = "host"
    INFERENCE_SERVER = "inference_server"
    MODEL = "model"
    RUN = "run"
    SESSION = "session"
    USER = "user"
    WEBHOOK = "webhook"


_WITHOUT_ROOM_VERBS = frozenset(
    {
        *("cancel", "deactivate", "disable", "end_grace", "end_overlap", "pause", "roll_back"),
        *("label", "publish", "stop"),
    }
)
"""Of actions that need no room in the quotas of users: each ends something that needed it, or has
been done to files already. Deletions need none either."""
_WITHOUT_ROOM_TARGETS = frozenset(
    {AuditTarget.ADDRESS, AuditTarget.AUDIT_LOG, AuditTarget.SESSION, AuditTarget.USER}
)
"""The same: log-in stays possible, and what only administrators do."""

# Any: JSON, and times
AuditFields = Mapping[str, Any]
"""Fields of the target by name; `record_event` masks secrets."""


async def record_event(
    session: AsyncSession,
    *,
    action: str,
    target_kind: AuditTarget,
    target_id: str,
    target_name: str | None = None,
    before: AuditFields | None = None,
    after: AuditFields | None = None,
    owner_id: str | None = None,
) -> None:
    """Record, in the session's transaction, what `ACTOR` does.

    With both `before` and `after`, only the fields that differ are stored; if none differs, nothing
    is recorded. `before` alone is a deletion, `after` alone a creation. `owner_id` is the profile
    that the target belongs to, if that is not the actor.

    Raises:
        GatewayError: STORAGE_QUOTA_EXCEEDED if what the transaction has written exceeds a quota of
            the user, or the disk has too little room; not for what ends or deletes something.
    """
    old, new = _changed_fields(before, after)
    if before is not None and after is not None and not (old or new):
        return
    actor = ACTOR.get()
    session.add(
        AuditEvent(
            action=action,
            subject_kind=target_kind,
            subject_id=target_id,
            subject_name=target_name and mask_text(target_name)[:_MAX_NAME_LENGTH],
            owner_id=owner_id or actor.profile_id,
            actor_id=actor.profile_id,
            actor_name=await _email_of(session, actor.profile_id),
            key_id=actor.key_id,
            session_id=actor.session_id,
            address=actor.address,
            system_user=actor.system_user,
            request_id=actor.request_id,
            before=old and mask_secrets(old),
            after=new and mask_secrets(new),
        )
    )
    if actor.profile_id is not None and _needs_room(action, target_kind, after):
        await session.flush()
        await check_change(session, action, actor_id=actor.profile_id, owner_id=owner_id)


def _needs_room(action: str, target: AuditTarget, after: AuditFields | None) -> bool:
    verb = action.rpartition(".")[2]
    ends = after is None or verb in _WITHOUT_ROOM_VERBS
    return not ends and target not in _WITHOUT_ROOM_TARGETS


def row_snapshot(row: Table) -> dict[str, Any]:
    """Return the columns of a row for an event or an entity tag. Flush a new row first."""
    names = (column.key for column in inspect(type(row)).column_attrs)
    return {name: getattr(row, name) for name in names if name not in _EXCLUDED_COLUMNS}


def _changed_fields(
    before: AuditFields | None, after: AuditFields | None
) -> tuple[AuditFields | None, ...]:
    """Return both, reduced to the fields in which they differ."""
    if before is None or after is None:
        return before, after
    changed = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    old = {name: before.get(name) for name in changed}
    return old, {name: after.get(name) for name in changed}


async def _email_of(session: AsyncSession, profile_id: str | None) -> str | None:
    profile = None if profile_id is None else await session.get(Profile, profile_id)
    return None if profile is None else profile.email
