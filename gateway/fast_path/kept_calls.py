"""The port through which calls that failed or took long are kept to be looked up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gateway.fast_path.call_record import DeploymentCallRecord


class KeptCalls(Protocol):
    """Takes all answered calls, and keeps few of them."""

    def take(self, calls: Sequence[DeploymentCallRecord]) -> None:
        """Keep those of these answered calls that failed or took long, as far as there is room."""
