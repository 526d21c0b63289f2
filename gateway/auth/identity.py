"""The identity of an authenticated request, and checks of what it may do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from gateway.errors import GatewayError
from gateway.limits.call_limits import CallLimits
from protos.errors import ErrorCode


class Scope(StrEnum):
    """What an API key may be used for."""

    TRIGGER = "trigger"
    """Calling deployments."""
    SERVE = "serve"
    """Registering inference servers, if its user is an admin or owner; nothing else."""
    MANAGE = "manage"
    """Managing flows, deployments, keys and everything else, and calling deployments."""


class Role(StrEnum):
    """What a user may do with what is not theirs: users, models and their servers, the audit."""

    OWNER = "owner"
    """Everything, including managing other owners."""
    ADMIN = "admin"
    """Managing users except owners, all models and their servers; reading all audit events."""
    MEMBER = "member"
    """Using shared models and starting their servers; adding models, and managing their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The holder of a valid API key or console session."""

    key_id: str | None
    """None for a console session, and for the command line."""
    profile_id: str
    scope: Scope
    deployments: frozenset[str] | None
    """The deployments that the key may trigger; None: all of the profile's."""
    role: Role
    """The profile's."""
    session_id: str | None = None
    """The console session, if one was used."""
    limits: CallLimits | None = None
    """The key's own limits, if it has any."""
    run_keys: frozenset[str] | None = None
    """It sees the runs of its deployments that these keys started; None: all of them."""
    replaced_keys: frozenset[str] = frozenset()
    """The keys that it replaced, by rotation."""

    @property
    def limit_key(self) -> str:
        """What calls are counted under: the key's id, or the profile's without a key."""
        return self.key_id or self.profile_id

    @property
    def administers(self) -> bool:
        """Whether the user is an admin or owner of the installation."""
        return self.role is not Role.MEMBER

    def may_trigger(self, deployment_id: str) -> bool:
        """Whether the key covers the deployment, which belongs to the same profile."""
        return self.deployments is None or deployment_id in self.deployments

    def may_read(self, key_id: str | None) -> bool:
        """Whether it sees the runs of its deployments that this key started (None: no key)."""
        return self.run_keys is None or key_id in self.run_keys


def check_administers(identity: Identity) -> None:
    """Raise ROLE_FORBIDDEN unless the user is an admin or owner."""
    if not identity.administers:
        message = "role: expected admin or owner, got member: ask one of them to do it"
        raise GatewayError(ErrorCode.ROLE_FORBIDDEN, message)


def check_calls(identity: Identity) -> None:
    """Raise API_KEY_FORBIDDEN for a key that calls nothing."""
    if identity.scope is Scope.SERVE:
        message = "this API key registers inference servers: use one of scope trigger for calls"
        raise GatewayError(ErrorCode.API_KEY_FORBIDDEN, message)


def check_covers(identity: Identity, deployment_id: str) -> None:
    """Raise API_KEY_FORBIDDEN if the key does not cover the deployment."""
    check_calls(identity)
    if not identity.may_trigger(deployment_id):
        message = "this API key is limited to other deployments: use a key that covers this one"
        raise GatewayError(ErrorCode.API_KEY_FORBIDDEN, message)
