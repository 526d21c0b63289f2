"""The port for whoever must hear of runs: called in the transaction that changes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncSession

from gateway.runs.run import Run


class Outbox(Protocol):
    """Called by a run store before it commits. What raises here keeps the run as it was."""

    async def started(self, session: AsyncSession, runs: Sequence[Run]) -> None:
        """Take runs that have begun; one that begins again, too."""

    async def ended(self, session: AsyncSession, runs: Sequence[Run]) -> None:
        """Take runs that have ended, with their output where they have one."""


class NoOutbox:
    """Of a store whose runs nobody else hears of."""

    async def started(self, session: AsyncSession, runs: Sequence[Run]) -> None:
        """See Outbox."""

    async def ended(self, session: AsyncSession, runs: Sequence[Run]) -> None:
        """See Outbox."""
