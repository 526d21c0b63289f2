"""The table of rehearsals: what a deployment's draft answers to recorded inputs."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import JSON, ForeignKey, Integer
from sqlalchemy.orm import Mapped, mapped_column

from gateway.ids import new_id
from gateway.storage.tables import Id, Json, Table, UtcTime


class Rehearsal(Table):
    """The last rehearsal of a deployment, kept for a day.

    The process that conducts it writes how far it is, and renews its lease with it.
    """

    __tablename__ = "rehearsals"

    deployment_id: Mapped[str] = mapped_column(
        Id, ForeignKey("deployments.id", ondelete="CASCADE"), primary_key=True
    )
    id: Mapped[str] = mapped_column(Id, unique=True, default=new_id)
    profile_id: Mapped[str] = mapped_column(Id, index=True)
    """The deployment's owner."""
    created_at: Mapped[datetime] = mapped_column(UtcTime, index=True)
    lease_until: Mapped[datetime] = mapped_column(UtcTime)
    """When its process counts as gone unless it writes again."""
    finished_at: Mapped[datetime | None] = mapped_column(UtcTime)
    drafted_at: Mapped[datetime] = mapped_column(UtcTime)
    """When the draft was saved that it runs."""
    total: Mapped[int] = mapped_column(Integer)
    done: Mapped[int] = mapped_column(Integer, default=0)
    equal: Mapped[int] = mapped_column(Integer, default=0)
    differing: Mapped[int] = mapped_column(Integer, default=0)
    """Runs, of which each may have several entries in `results`."""
    results: Mapped[Json] = mapped_column(JSON)
    """`{"different": […], "failed": […]}`, each bounded."""
