"""The join of deployments with the model versions that they call."""

from __future__ import annotations

from sqlalchemy import JSON, ColumnElement, and_, func, or_, true
from sqlalchemy import type_coerce as coerce
from sqlalchemy.orm import join, outerjoin

from gateway.storage.tables import Deployment, DeploymentVersion, Rollout

_PINS = func.json_each(DeploymentVersion.models).table_valued("key", "value", name="pins")
"""Each pin of a version: both databases have this function."""


def pin(member: str) -> ColumnElement[str]:
    """Return a member of a pin, see `pins.py`, as text."""
    found: ColumnElement[str] = coerce(_PINS.c.value, JSON)[member].as_string()
    return found


_RUNNING = and_(Rollout.deployment_id == Deployment.id, Rollout.state == "running")
_CALLED = and_(
    DeploymentVersion.deployment_id == Deployment.id,
    or_(
        DeploymentVersion.version == Deployment.live_version,
        DeploymentVersion.version == Rollout.candidate,
    ),
)
CALLED_VERSIONS = join(
    join(outerjoin(Deployment, Rollout, _RUNNING), DeploymentVersion, _CALLED), _PINS, true()
)
"""Each pin of what deployments call now: their live version, and the one that a rollout tries."""
