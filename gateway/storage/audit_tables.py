"""The table of audit events. It has no foreign keys, because an event outlives its actor.

Triggers of the database, made by migration 0005, refuse every change of a row, and the deletion of
one that is younger than `MIN_RETENTION_DAYS`.
"""

from __future__ import annotations

from sqlalchemy import JSON, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from gateway.storage.tables import Id, Json, Listed, Name

MIN_RETENTION_DAYS = 90
"""How long the database rejects the deletion of an event. The triggers contain the same number."""


class AuditEvent(Listed):
    """One event: its actor, action and target, at `created_at`."""

    __tablename__ = "audit_acts"
    __table_args__ = (
        Index("ix_audit_acts_page", "created_at", "id"),
        Index("ix_audit_acts_owner_page", "owner_id", "created_at", "id"),
        Index("ix_audit_acts_subject_page", "subject_id", "created_at", "id"),
    )

    action: Mapped[str] = mapped_column(String(64))
    """Such as `deployment.create`."""
    subject_kind: Mapped[str] = mapped_column(String(32))
    subject_id: Mapped[str] = mapped_column(String(200))
    subject_name: Mapped[str | None] = mapped_column(Name)
    """The target's name at the time."""
    owner_id: Mapped[str | None] = mapped_column(Id)
    """The profile that the target belongs to; for shared targets, the profile that acted."""
    actor_id: Mapped[str | None] = mapped_column(Id)
    """The profile that acted; NULL: not authenticated."""
    actor_name: Mapped[str | None] = mapped_column(String(320))
    """Its e-mail address at the time."""
    key_id: Mapped[str | None] = mapped_column(Id)
    session_id: Mapped[str | None] = mapped_column(Id)
    address: Mapped[str | None] = mapped_column(String(64))
    system_user: Mapped[str | None] = mapped_column(Name)
    """The operating system's user; only for the command line."""
    request_id: Mapped[str | None] = mapped_column(Name)
    before: Mapped[Json | None] = mapped_column(JSON(none_as_null=True))
    """The changed fields with their old values; NULL for a creation. Secrets are masked."""
    after: Mapped[Json | None] = mapped_column(JSON(none_as_null=True))
    """The same fields with their new values; NULL for a deletion."""
