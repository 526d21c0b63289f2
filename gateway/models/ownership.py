"""What is stored about a model beside its files: whose it is, and who may use it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypedDict

from sqlalchemy.ext.asyncio import AsyncSession

from gateway.auth.model_access import ModelUser, Visibility, not_yours
from gateway.errors import GatewayError
from gateway.ids import is_id
from gateway.models import store as rows
from gateway.models.audit_events import ownership_fields, record_model
from gateway.storage.changes import ChangeKind, record_change
from gateway.storage.tables import Model, Profile
from protos.errors import ErrorCode


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEntry:
    """A model and its versions, as one user sees it."""

    name: str
    versions: list[int]
    """Ascending."""
    labels: Mapping[str, int]
    visibility: Visibility
    owner_id: str | None
    """The profile, for those who manage the model; None: the installation, or not shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedModel:
    """A model whose ownership was changed, and whom that concerns."""

    entry: ModelEntry
    deployments_of_others: int
    """Of users other than the owner: they keep calling the version that they pinned."""


class OwnershipChange(TypedDict, total=False):
    """The members to change."""

    visibility: Visibility
    owner_id: str | None
    """The profile; None: the installation."""


def entry_of(
    name: str, versions: list[int], labels: Mapping[str, int], row: Model | None, user: ModelUser
) -> ModelEntry:
    """Return a model as `user` sees it."""
    return ModelEntry(
        name=name,
        versions=versions,
        labels=labels,
        visibility=Visibility.SHARED if row is None else Visibility(row.visibility),
        owner_id=row.owner_id if row is not None and user.may_manage(row) else None,
    )


def check_may_publish(
    user: ModelUser, name: str, row: Model | None, visibility: Visibility | None
) -> None:
    """Check that `user` may add a version to a model that exists.

    Raises:
        GatewayError: CONFLICT for a name that another's private model has, and for another
            visibility than it has; ROLE_FORBIDDEN for a shared model of another user, and for a
            member where it belongs to the installation.
    """
    if not user.may_use(row):
        message = f"name: '{name}' is taken: choose another name"
        raise GatewayError(ErrorCode.CONFLICT, message)
    if not user.may_manage(row):
        owner = "the installation" if row is None or row.owner_id is None else "another user"
        message = f"model '{name}' belongs to {owner}: choose another name"
        raise GatewayError(ErrorCode.ROLE_FORBIDDEN, f"{message}, or ask an administrator")
    known = Visibility.SHARED if row is None else row.visibility
    if visibility not in (None, known):
        message = f"visibility: model '{name}' is {known}, got {visibility}: change the model first"
        raise GatewayError(ErrorCode.CONFLICT, message)


async def change_ownership(
    session: AsyncSession, user: ModelUser, name: str, change: OwnershipChange
) -> int:
    """Change the row of a model, in the caller's transaction.

    Return how many deployments of users other than its owner call it.

    Raises:
        GatewayError: ROLE_FORBIDDEN; VALIDATION_FAILED for an unknown owner.
    """
    row = await rows.find_model(session, name, lock=True)
    if not user.may_manage(row):
        raise not_yours(name)
    before = ownership_fields(row)
    if row is None:
        row = Model(name=name, owner_id=None, visibility=Visibility.SHARED)
        session.add(row)
    if "owner_id" in change:
        await _check_owner(session, user, change["owner_id"])
        row.owner_id = change["owner_id"]
    if "visibility" in change:
        row.visibility = change["visibility"]
    await session.flush()
    await record_model(session, "update", name, row, before=before, after=ownership_fields(row))
    others = await rows.count_callers_beside_owner(session, row)
    record_change(session, ChangeKind.MODEL, name)
    return others


async def _check_owner(session: AsyncSession, user: ModelUser, owner_id: str | None) -> None:
    if not user.administers:
        message = "owner_id: expected the role admin or owner for it, got member"
        raise GatewayError(ErrorCode.ROLE_FORBIDDEN, f"{message}: ask one of them to do it")
    if owner_id is not None and not await _exists(session, owner_id):
        message = (
            f"owner_id: expected the id of a user, got '{owner_id[:40]}': see GET /node/users/"
        )
        raise GatewayError(ErrorCode.VALIDATION_FAILED, message)


async def _exists(session: AsyncSession, profile_id: str) -> bool:
    return is_id(profile_id) and await session.get(Profile, profile_id) is not None
