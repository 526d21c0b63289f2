"""Rows of models, and rows that use a model version."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.auth.model_access import ModelUser
from gateway.models.called_versions import CALLED_VERSIONS, pin
from gateway.storage.tables import Deployment, InferenceServer, Model
from model_store.errors import StoreError
from model_store.names import check_name


async def find_model(session: AsyncSession, name: str, *, lock: bool = False) -> Model | None:
    """Return the row of a model, if it has one; `lock` locks it until the transaction ends."""
    with suppress(StoreError):  # no model has a name that is no name, nor can a database look it up
        return await session.get(Model, check_name(name), with_for_update=lock)
    return None


async def models_named(session: AsyncSession, names: Sequence[str]) -> dict[str, Model]:
    """Return the rows of models by name."""
    statement = select(Model).where(Model.name.in_(names))
    return {row.name: row for row in (await session.execute(statement)).scalars()}


async def names_hidden_from(session: AsyncSession, user: ModelUser) -> set[str]:
    """Return the names of the models that a user may not use."""
    return set((await session.execute(user.hidden_names())).scalars())


async def users_of(session: AsyncSession, model: str, version: int, user: ModelUser) -> list[str]:
    """Return what uses a version, for a message to `user`: deployments of others as a number."""
    servers = select(InferenceServer.id).where(
        InferenceServer.model == model,
        InferenceServer.version == version,
        InferenceServer.desired != "stopped",
    )
    stops = f"`slipstream models unserve {model} --version {version}` stops it"
    rows = (await session.execute(servers)).scalars()
    found = [f"inference server {row} ({stops})" for row in rows]
    using = [each for each in await _callers_of(session, model) if each.version == version]
    own = [each for each in using if user.profile_id in (None, each.profile_id)]
    found += [f"deployment '{each.name}'" for each in own]
    if foreign := len(using) - len(own):
        found.append(f"{foreign} deployment{'s' * (foreign > 1)} of other users")
    return found


async def count_callers_beside_owner(session: AsyncSession, model: Model) -> int:
    """Return how many live deployments of users other than its owner call a model."""
    found = await _callers_of(session, model.name)
    return len({each.deployment_id for each in found if each.profile_id != model.owner_id})


class _Caller(NamedTuple):
    """A deployment that calls a model, by its live version or by the one that a rollout tries."""

    deployment_id: str
    profile_id: str
    name: str
    version: int
    """Of the model."""


async def _callers_of(session: AsyncSession, model: str) -> list[_Caller]:
    version = pin("version")
    statement = (
        select(
            Deployment.id, Deployment.profile_id, Deployment.name, version, Deployment.created_at
        )
        .select_from(CALLED_VERSIONS)
        .where(Deployment.status != "deleted", pin("model") == model)
        .distinct()
        .order_by(Deployment.created_at, Deployment.id, version)
    )
    return [
        _Caller(deployment_id, profile_id, name, int(number))
        for deployment_id, profile_id, name, number, _ in await session.execute(statement)
    ]
