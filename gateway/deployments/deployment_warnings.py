"""Warnings about a deployment whose calls fail as things are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.fleet.states import Desired
from gateway.storage.tables import InferenceServer

Pins = Mapping[str, Any]
"""Node id → pinned model version, as `DeploymentVersion.models`. Any: JSON."""


class DeploymentWarningCode(StrEnum):
    """What a warning is about."""

    MODEL_NOT_SERVED = "model_not_served"
    """No inference server is meant to run for the model, nor does one start with the next call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentWarning:
    """A warning: a code, the model version, and a sentence that says what to do."""

    code: DeploymentWarningCode
    model: str
    version: int
    message: str


async def load_warnings(
    session: AsyncSession, pins: Sequence[Pins]
) -> list[list[DeploymentWarning]]:
    """Return the warnings about versions with these pins, in the same order."""
    desired = await _desired_states(session, {model for each in pins for model, _ in _models(each)})
    return [
        [
            _not_served(*key, stopped=key in desired)
            for key in _models(each)
            if desired.get(key, Desired.STOPPED) == Desired.STOPPED
        ]
        for each in pins
    ]


async def _desired_states(session: AsyncSession, models: set[str]) -> dict[tuple[str, int], str]:
    if not models:
        return {}
    servers = select(InferenceServer.model, InferenceServer.version, InferenceServer.desired)
    found = await session.execute(servers.where(InferenceServer.model.in_(models)))
    return {(row.model, row.version): row.desired for row in found}


def _models(pins: Pins) -> list[tuple[str, int]]:
    return sorted({(pin["model"], pin["version"]) for pin in pins.values()})


def _not_served(model: str, version: int, *, stopped: bool) -> DeploymentWarning:
    what = "was stopped" if stopped else "has not been started"
    message = (
        f"the inference server for {model} version {version} {what}, so calls fail: start it with "
        f"`slipstream models serve {model} --version {version}` or POST /node/inference-servers/ "
        f'with {{"model": "{model}", "version": {version}}}'
    )
    return DeploymentWarning(
        code=DeploymentWarningCode.MODEL_NOT_SERVED, model=model, version=version, message=message
    )
