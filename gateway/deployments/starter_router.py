"""`/node/models/{name}/versions/{version}/starter/`, for a `manage` key or a session."""

from __future__ import annotations

from typing import Annotated

from gateway.auth.access import Manager
from gateway.dependencies import from_app
from gateway.deployments.starter import starter_of
from gateway.deployments.starter_schemas import StarterOut
from gateway.models.service import ModelService
from gateway.operations import DocumentedRouter

Service = Annotated[ModelService, from_app(ModelService)]
router = DocumentedRouter(prefix="/node/models/{name}/versions/{version}", tags=["Models"])


@router.get("/starter/")
async def starter(service: Service, identity: Manager, name: str, version: str) -> StarterOut:
    """Show an example of a model's input, and a flow that calls the model.

    The flow refers to the version as the path does: by `latest`, a number or a label.
    """
    return StarterOut.of(starter_of(await service.pin(identity.profile_id, name, version), version))
