"""Whether the inference servers of a deployment's live version answer calls."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.auth.model_access import load_model_user
from gateway.fleet.states import Desired, State
from gateway.storage.clock import now
from gateway.storage.tables import InferenceServer, Model
from gateway.upstream.reasons import FAILED_TO_LOAD

Pins = Mapping[str, Any]
"""Node id → pinned model version, as `DeploymentVersion.models`. Any: JSON."""
Servers = Mapping[tuple[str, int], InferenceServer]
"""Model and version → its inference server."""


class ReadinessState(StrEnum):
    """How a deployment's inference servers are, as one state: that of the least ready one."""

    READY = "ready"
    ASLEEP = "asleep"
    """The next call starts it."""
    BOOTING = "booting"
    DRAINING = "draining"
    UNRESPONSIVE = "unresponsive"
    FAILED = "failed"
    STOPPED = "stopped"
    """A user has stopped it, or it was never started."""


_ORDER = tuple(ReadinessState)


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """The state of the least ready inference server."""

    state: ReadinessState
    phase: str | None = None
    reason: str | None = None
    elapsed_seconds: float | None = None
    """Since it began to boot."""
    expected_seconds: float | None = None
    """How long its last boot took."""
    server_id: str | None = None


def models_in(pins: Pins) -> list[tuple[str, int]]:
    """Return the model versions of pins."""
    return sorted({(pin["model"], pin["version"]) for pin in pins.values()})


async def load_servers(session: AsyncSession, models: set[str]) -> Servers:
    """Return the inference servers of models by name and version."""
    if not models:
        return {}
    found = await session.execute(select(InferenceServer).where(InferenceServer.model.in_(models)))
    return {(server.model, server.version): server for server in found.scalars()}


async def load_unexplained(session: AsyncSession, servers: Servers, profile_id: str) -> Set[str]:
    """Return the models that have failed to load, and why is not for this user.

    Only those who manage a model are told: the text describes its inside.
    """
    failed = {server.model for server in servers.values() if server.state == State.FAILED}
    if not failed:
        return failed
    user = await load_model_user(session, profile_id)
    found = (await session.execute(select(Model).where(Model.name.in_(failed)))).scalars()
    models = {model.name: model for model in found}
    return {name for name in failed if not user.may_manage(models.get(name))}


def readiness_of(
    pins: Pins, servers: Servers, unexplained: Set[str] = frozenset()
) -> Readiness | None:
    """Return how ready the servers of pins are; None: there is no model.

    `unexplained` are models that it is not told of why they have failed.
    """
    moment = now()
    found = [_of_server(servers.get(model), moment, unexplained) for model in models_in(pins)]
    return max(found, key=lambda each: _ORDER.index(each.state), default=None)


def _of_server(
    server: InferenceServer | None, moment: datetime, unexplained: Set[str]
) -> Readiness:
    if server is None:
        return Readiness(state=ReadinessState.STOPPED)
    state = _state_of(server)
    boots = state is ReadinessState.BOOTING
    is_unexplained = server.state == State.FAILED and server.model in unexplained
    return Readiness(
        state=state,
        phase=server.phase if boots else None,
        reason=FAILED_TO_LOAD if is_unexplained else server.reason,
        elapsed_seconds=server.elapsed_boot_seconds(moment) if boots else None,
        expected_seconds=server.expected_boot_seconds,
        server_id=server.id,
    )


def _state_of(server: InferenceServer) -> ReadinessState:
    if server.desired == Desired.STOPPED:
        return ReadinessState.STOPPED
    if server.state == State.STOPPED:  # none yet: it sleeps, or is about to start
        asleep = server.desired == Desired.ASLEEP
        return ReadinessState.ASLEEP if asleep else ReadinessState.BOOTING
    return ReadinessState(server.state)
