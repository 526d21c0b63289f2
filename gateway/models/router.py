"""`/node/models/`, for a `manage` key or a session; some routes need the role admin or owner."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Request

from gateway.auth.access import Manager, administrator, manager
from gateway.dependencies import from_app
from gateway.errors import GatewayError
from gateway.models.schemas import LabelIn, ManifestOut, ModelOut, ModelPage
from gateway.models.service import ModelService
from gateway.models.uploads import receive_upload
from gateway.operations import BodyLimit, DocumentedRouter
from gateway.storage.paging import PageRequest
from model_store.errors import StoreError
from model_store.names import parse_version
from protos.errors import ErrorCode

_FILE = {"type": "string", "format": "binary"}
_UPLOAD: dict[str, Any] = {
    "x-stores": True,
    "requestBody": {
        "required": True,
        "content": {
            "application/octet-stream": {"schema": _FILE},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "name": {"type": "string"},
                        "version": {"type": "integer"},
                        "file": _FILE,
                        "data": {"type": "array", "items": _FILE},
                    },
                }
            },
        },
    },
}
"""FastAPI cannot describe a body that the route reads itself."""


Service = Annotated[ModelService, from_app(ModelService)]
router = DocumentedRouter(prefix="/node/models", tags=["Models"], dependencies=[Depends(manager)])
_ADMINISTERS = [Depends(administrator)]


@router.post("/", status_code=201, openapi_extra=_UPLOAD, dependencies=[Depends(BodyLimit(None))])
async def upload(
    service: Service,
    identity: Manager,
    request: Request,
    name: str | None = None,
    version: str | None = None,
) -> ManifestOut:
    """Publish a model version: the .onnx file as the body, or a form with external data.

    `name` and `version` are in the query or in the form. Without a version, the next one is
    assigned. `warnings` says what of the model is not served.
    """
    owner = identity.profile_id
    async with receive_upload(request, service.quotas, owner) as upload:
        model = name or upload.fields.get("name")
        if not model:
            message = "name: expected the model's name in the query or the form, got none"
            raise GatewayError(ErrorCode.INVALID_REQUEST, message)
        number = version or upload.fields.get("version")
        wanted = None if not number else _parse_version(number)
        published = await service.publish(upload.folder, model, wanted, owner=owner)
        return ManifestOut.of(published)


@router.get("/")
async def list_models(service: Service, page: PageRequest = Depends()) -> ModelPage:
    """List the models by name."""
    return ModelPage.of(await service.page(page))


@router.get("/{name}/")
async def show(service: Service, name: str) -> ModelOut:
    """Show a model's versions and labels."""
    return ModelOut.of(await service.get(name))


@router.get("/{name}/versions/{version}/")
async def show_version(service: Service, name: str, version: str) -> ManifestOut:
    """Show the manifest of a version: `latest`, a number or a label."""
    return ManifestOut.of(await service.manifest(name, version))


@router.delete("/{name}/versions/{version}/", status_code=204, dependencies=_ADMINISTERS)
async def remove(service: Service, name: str, version: str) -> None:
    """Delete a version that is not in use."""
    await service.remove(name, _parse_version(version))


@router.put("/{name}/labels/{label}/", dependencies=_ADMINISTERS)
async def set_label(service: Service, name: str, label: str, body: LabelIn) -> ModelOut:
    """Point a label to a version."""
    return ModelOut.of(await service.set_label(name, label, body.version))


@router.delete("/{name}/labels/{label}/", status_code=204, dependencies=_ADMINISTERS)
async def delete_label(service: Service, name: str, label: str) -> None:
    """Delete a label."""
    await service.delete_label(name, label)


def _parse_version(text: str) -> int:
    try:
        return parse_version(text)
    except StoreError as error:
        raise GatewayError(error.code, error.message) from error
