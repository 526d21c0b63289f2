"""Who a request comes from, as its API key says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Scope(StrEnum):
    """What a key is good for."""

    TRIGGER = "trigger"
    """Calls deployments."""
    MANAGE = "manage"
    """Changes flows, deployments, keys and the rest; calls deployments, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The holder of an active key."""

    key_id: str
    profile_id: str
    scope: Scope
    deployments: frozenset[str] | None
    """The deployments that the key may trigger; None means all of the profile's."""

    def may_trigger(self, deployment_id: str) -> bool:
        """Whether the key covers the deployment, if that belongs to the same profile."""
        return self.deployments is None or deployment_id in self.deployments
