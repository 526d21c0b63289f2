"""The wire format of watches."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

MAX_SECONDS = 600


class WatchIn(BaseModel):
    """How long a deployment is watched."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"seconds": 60}]})

    seconds: int = Field(
        default=MAX_SECONDS,
        ge=1,
        le=MAX_SECONDS,
        description="From now on; a watch that has begun goes on for as long.",
    )
