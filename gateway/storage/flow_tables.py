"""The table of what flows were before."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import JSON, ForeignKey, Integer, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from gateway.storage.clock import now
from gateway.storage.tables import Id, Json, Listed, Name, UtcTime


class FlowRevision(Listed):
    """A state of a flow's draft. The newest one is the draft itself."""

    __tablename__ = "flow_revisions"
    __table_args__ = (UniqueConstraint("flow_id", "number"),)

    flow_id: Mapped[str] = mapped_column(ForeignKey("flows.id", ondelete="CASCADE"))
    number: Mapped[int] = mapped_column(Integer)
    """1, 2, 3 … within the flow; old ones are deleted."""
    name: Mapped[str | None] = mapped_column(Name)
    """Of a checkpoint; NULL: kept by itself."""
    flow_name: Mapped[str] = mapped_column(Name)
    definition: Mapped[Json] = mapped_column(JSON)
    definition_bytes: Mapped[int] = mapped_column(Integer)
    saved_at: Mapped[datetime] = mapped_column(UtcTime, default=now)
    """When the draft was last saved with it; `created_at` is the first time."""
    created_by: Mapped[str | None] = mapped_column(Id)
    """The profile; NULL: saved by a release without revisions."""
    created_by_key: Mapped[str | None] = mapped_column(Id)
