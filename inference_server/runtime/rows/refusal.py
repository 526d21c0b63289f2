"""What a rule raises where rows meet, and what is known of a tensor then."""

from __future__ import annotations

from dataclasses import dataclass


class MixesRowsError(Exception):
    """Rows may meet in a node, or it is not known that they do not; the text says why."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A tensor in which rows may have met, and where that was first."""

    reason: str
