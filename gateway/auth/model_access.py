"""Who may use a model, and who manages it.

A `shared` model may be used by everyone; a `private` one by its owner, and by the admins and owners
of the installation. For all others it does not exist: what they are told about it is what they are
told about a name that no model has.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Select, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.auth.identity import Identity, Role
from gateway.errors import GatewayError
from gateway.storage.tables import Model, Profile
from protos.errors import ErrorCode


class Visibility(StrEnum):
    """Who may use a model."""

    PRIVATE = "private"
    """Its owner, and admins and owners of the installation."""
    SHARED = "shared"
    """Every user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelUser:
    """A user of models, by what decides about them."""

    profile_id: str | None
    """None for the operator, and for anonymous calls."""
    administers: bool

    @classmethod
    def of(cls, identity: Identity | None) -> ModelUser:
        """Return the holder of a key or a session; None: an anonymous caller."""
        if identity is None:
            return cls(profile_id=None, administers=False)
        return cls(profile_id=identity.profile_id, administers=identity.administers)

    def is_owner(self, owner_id: str | None) -> bool:
        """Whether the model of this profile (None: of the installation) is the user's own."""
        return owner_id is not None and owner_id == self.profile_id

    def may_use_private(self, owner_id: str | None) -> bool:
        """Whether the user may use a private model of this profile (None: the installation)."""
        return self.administers or self.is_owner(owner_id)

    def may_use(self, model: Model | None) -> bool:
        """Whether the user may see, call, serve and deploy a model; None: it has no row."""
        if model is None or model.visibility == Visibility.SHARED:
            return True
        return self.may_use_private(model.owner_id)

    def may_manage(self, model: Model | None) -> bool:
        """Whether the user may change and remove a model, and stop its inference servers.

        Once it has a version, only these users may publish more.
        """
        return self.administers or (model is not None and self.is_owner(model.owner_id))

    def hidden_names(self) -> Select[str]:
        """Select the names of the models that the user may not use."""
        private = select(Model.name).where(Model.visibility == Visibility.PRIVATE)
        if self.administers:
            return private.where(Model.name.is_(None))  # none
        return private.where(or_(Model.owner_id.is_(None), Model.owner_id != self.profile_id))


async def load_model_user(session: AsyncSession, profile_id: str | None) -> ModelUser:
    """Return a user by profile; None: the operator, on the command line."""
    if profile_id is None:
        return ModelUser(profile_id=None, administers=True)
    role = (await session.execute(select(Profile.role).where(Profile.id == profile_id))).scalar()
    administers = role is not None and role != Role.MEMBER
    return ModelUser(profile_id=profile_id, administers=administers)


def not_yours(name: str) -> GatewayError:
    """Return the error for a change of a model that the user may use, and does not manage."""
    message = (
        f"role: expected admin or owner, or the owner of model '{name}', got another member: ask "
        "one of them to do it"
    )
    return GatewayError(ErrorCode.ROLE_FORBIDDEN, message)
