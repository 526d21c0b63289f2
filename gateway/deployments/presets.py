"""The documented presets: a situation and its recommended settings. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from gateway.deployments.settings import DeploymentType, ExecutionMode


class Preset(StrEnum):
    """What a deployment is for."""

    INLINE = "inline"
    BACKGROUND = "background"
    PREDICTION = "prediction"
    PRODUCTION = "production"
    DEVELOPMENT = "development"


@dataclass(frozen=True, slots=True, kw_only=True)
class PresetSettings:
    """The type and mode of a preset."""

    situation: str
    deployment_type: DeploymentType
    execution_mode: ExecutionMode
    alternatives: tuple[ExecutionMode, ...] = ()
    """Other suitable modes."""


PRESETS: Mapping[Preset, PresetSettings] = {
    Preset.INLINE: PresetSettings(
        situation="Short flow, need result inline",
        deployment_type=DeploymentType.API,
        execution_mode=ExecutionMode.SYNC,
    ),
    Preset.BACKGROUND: PresetSettings(
        situation="Long-running flow, fire-and-forget",
        deployment_type=DeploymentType.API,
        execution_mode=ExecutionMode.ASYNC,
    ),
    Preset.PREDICTION: PresetSettings(
        situation="ML model, need lowest latency",
        deployment_type=DeploymentType.API,
        execution_mode=ExecutionMode.FAST,
    ),
    Preset.PRODUCTION: PresetSettings(
        situation="Always-on production server",
        deployment_type=DeploymentType.SERVER,
        execution_mode=ExecutionMode.SYNC,
    ),
    Preset.DEVELOPMENT: PresetSettings(
        situation="Development / PoC",
        deployment_type=DeploymentType.API,
        execution_mode=ExecutionMode.SYNC,
        alternatives=(ExecutionMode.ASYNC,),
    ),
}
