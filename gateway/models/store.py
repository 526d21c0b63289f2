"""Rows of models, and rows that use a model version."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from sqlalchemy import and_, select
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.auth.model_access import ModelUser
from gateway.storage.tables import Deployment, DeploymentVersion, InferenceServer, Model, Rollout
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
    found = [f"inference server {row}" for row in (await session.execute(servers)).scalars()]
    using = [each for each, used in await _deployments_of(session, model) if used == version]
    own = [each for each in using if user.profile_id in (None, each.profile_id)]
    found += [f"deployment '{each.name}'" for each in own]
    if foreign := len(using) - len(own):
        found.append(f"{foreign} deployment{'s' * (foreign > 1)} of other users")
    return found


async def count_deployments_of_others(session: AsyncSession, model: Model) -> int:
    """Return how many live deployments of users other than its owner call a model."""
    found = await _deployments_of(session, model.name)
    return len({each.id for each, _ in found if each.profile_id != model.owner_id})


async def _deployments_of(session: AsyncSession, model: str) -> list[tuple[Deployment, int]]:
    """Return the deployments that call a model, each with the model's versions.

    By their live version, and by the one that a rollout tries.
    """
    of_deployment = DeploymentVersion.deployment_id == Deployment.id
    live = and_(of_deployment, DeploymentVersion.version == Deployment.live_version)
    tried = and_(of_deployment, DeploymentVersion.version == Rollout.candidate)
    running = and_(Rollout.deployment_id == Deployment.id, Rollout.state == "running")
    pins = select(Deployment, DeploymentVersion.models).where(Deployment.status != "deleted")
    found: dict[tuple[str, int], Deployment] = {}
    for statement in (
        pins.join(DeploymentVersion, live),
        pins.join(Rollout, running).join(DeploymentVersion, tried),
    ):
        ordered = statement.order_by(Deployment.created_at, Deployment.id)
        for deployment, models in await session.execute(ordered):
            for pin in models.values():
                if pin["model"] == model:
                    found[deployment.id, pin["version"]] = deployment
    return [(deployment, version) for (_, version), deployment in found.items()]
