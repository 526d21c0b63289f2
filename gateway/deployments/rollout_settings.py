"""How a version is tried beside the live one, and when it is rolled back."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class Strategy(StrEnum):
    """How a candidate is tried."""

    CANARY = "canary"
    """It answers a share of the calls."""
    SHADOW = "shadow"
    """It gets a copy of a share of the calls; the live version answers all of them."""


class RolloutState(StrEnum):
    """What has become of a rollout."""

    RUNNING = "running"
    PROMOTED = "promoted"
    """The candidate is live."""
    ROLLED_BACK = "rolled_back"
    """The candidate failed a check, or a person ended the rollout."""
    SUPERSEDED = "superseded"
    """Another version went live."""


class Cause(StrEnum):
    """Which check a candidate has failed."""

    ERRORS = "errors"
    LATENCY = "latency"
    OUTPUTS = "outputs"


class Checks(BaseModel):
    """When a candidate is rolled back."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, frozen=True)

    max_error_increase: Share = 0.02
    """How much larger the share of failed calls may be than the live version's."""
    max_latency_ratio: Annotated[float, Field(ge=1, le=1_000, allow_inf_nan=False)] | None = 2.0
    """How many times as long nine of ten calls may take; null: it is not checked."""
    tolerance: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """By how much numbers in the outputs may differ, absolutely or relative to the larger one;
    null: outputs are not compared. Only for mode fast."""
    max_different: Share = 0.01
    """The share of the outputs that may differ by more than that."""
