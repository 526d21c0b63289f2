"""The port through which calls of watched deployments are reported."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Protocol

from gateway.errors import GatewayError
from gateway.fast_path.call_record import DeploymentCallRecord
from gateway.web.problems import Headers


class CallWatches(Protocol):
    """Which deployments are watched, usually none, and what takes their calls.

    Callers look whether `deployments` is empty before anything else.
    """

    @property
    def deployments(self) -> Set[str]:
        """The ids of all watched deployments."""

    def note_timing(self, call: DeploymentCallRecord, headers: Headers) -> None:
        """Note the Server-Timing of an answer that is not fast, until the call is taken."""

    def note_refusal(self, call: DeploymentCallRecord, error: GatewayError) -> None:
        """Note why a call is refused, until it is taken."""

    def take(self, calls: Sequence[DeploymentCallRecord]) -> None:
        """Report those of these answered calls whose deployment is watched."""
