"""Who a request comes from, as its API key or its console session says."""

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


class Role(StrEnum):
    """What a user may do with what belongs to the installation, not to a profile."""

    OWNER = "owner"
    """Everything, other owners included."""
    ADMIN = "admin"
    """Users but owners, models and inference servers, audit of all."""
    MEMBER = "member"
    """Reads models and inference servers, adds the one and starts the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The holder of an active key or of a console session."""

    key_id: str | None
    """None for a console session, and for the command line."""
    profile_id: str
    scope: Scope
    deployments: frozenset[str] | None
    """The deployments that the key may trigger; None means all of the profile's."""
    role: Role
    """The profile's."""
    session_id: str | None = None
    """The console session, where it is one."""
    limits: CallLimits | None = None
    """The key's own limits; None: it has none."""

    @property
    def limit_key(self) -> str:
        """Whose limits count a call: the key's, or without one the profile's."""
        return self.key_id or self.profile_id

    def may_trigger(self, deployment_id: str) -> bool:
        """Whether the key covers the deployment, if that belongs to the same profile."""
        return self.deployments is None or deployment_id in self.deployments


def check_administers(identity: Identity) -> None:
    """Raise ROLE_FORBIDDEN where the user is neither admin nor owner."""
    if identity.role is Role.MEMBER:
        message = "this takes the role admin or owner, yours is member: ask one of them"
        raise GatewayError(ErrorCode.ROLE_FORBIDDEN, message)


def check_covers(identity: Identity, deployment_id: str) -> None:
    """Raise API_KEY_FORBIDDEN where the key does not cover a deployment of its profile."""
    if not identity.may_trigger(deployment_id):
        message = "this API key is limited to other deployments: use one that covers this one"
        raise GatewayError(ErrorCode.API_KEY_FORBIDDEN, message)
