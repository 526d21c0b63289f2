"""Warnings about a deployment whose calls fail as things are. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from gateway.deployments.readiness import Pins, Servers, models_in
from gateway.fleet.states import Desired


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


def warnings_of(pins: Pins, servers: Servers) -> list[DeploymentWarning]:
    """Return the warnings about a version with these pins."""
    return [
        _not_served(*model, stopped=model in servers)
        for model in models_in(pins)
        if model not in servers or servers[model].desired == Desired.STOPPED
    ]


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
