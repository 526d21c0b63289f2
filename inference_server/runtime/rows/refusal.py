"""What a rule raises where rows meet."""

from __future__ import annotations


class MixesRowsError(Exception):
    """Rows may meet in a node, or it is not known that they do not; the text says why."""
