"""Who a request comes from, as its API key says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from gateway.errors import GatewayError
from gateway.limits.call_limits import CallLimits
from protos.errors import ErrorCode


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
    limits: CallLimits | None = None
    """The key's own limits; None: it has none."""

    def may_trigger(self, deployment_id: str) -> bool:
        """Whether the key covers the deployment, if that belongs to the same profile."""
        return self.deployments is None or deployment_id in self.deployments


def check_covers(identity: Identity, deployment_id: str) -> None:
    """Raise API_KEY_FORBIDDEN where the key does not cover a deployment of its profile."""
    if not identity.may_trigger(deployment_id):
        message = "this API key is limited to other deployments: use one that covers this one"
        raise GatewayError(ErrorCode.API_KEY_FORBIDDEN, message)
