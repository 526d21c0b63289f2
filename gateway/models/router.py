"""`/node/models/`, for a `manage` key or a session; owners and administrators change models."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Request

from gateway.auth.access import Manager, manager
from gateway.auth.model_access import Visibility
from gateway.dependencies import from_app
from gateway.errors import GatewayError
from gateway.models.schemas import (
    ChangedModelOut,
    LabelIn,
    ManifestOut,
    ModelOut,
    ModelPage,
    ModelPatch,
)
from gateway.models.service import ModelService
from gateway.models.uploads import receive_upload
from gateway.operations import BodyLimit, DocumentedRouter
from gateway.storage.paging import PageRequest
from model_store.errors import StoreError
from model_store.names import parse_version
from protos.errors import ErrorCode

_FILE = {"type": "string", "format": "binary"}
_UPLOAD: dict[str, Any] = {
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
                        "visibility": {"type": "string", "enum": list(Visibility)},
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


@router.post("/", status_code=201, openapi_extra=_UPLOAD, dependencies=[Depends(BodyLimit(None))])
async def upload(
    service: Service,
    identity: Manager,
    request: Request,
    *,
    name: str | None = None,
    version: str | None = None,
    visibility: Visibility | None = None,
) -> ManifestOut:
    """Publish a model version: the .onnx file as the body, or a form with external data.

    `name`, `version` and `visibility` are in the query or in the form. Without a version, the next
    one is assigned. A new model is yours, and private unless `visibility` is `shared`. `warnings`
    says what of the model is not served.
    """
    user = identity.profile_id
    async with receive_upload(request, service.quotas, user) as upload:
        model = name or upload.fields.get("name")
        if not model:
            message = "name: expected the model's name in the query or the form, got none"
            raise GatewayError(ErrorCode.INVALID_REQUEST, message)
        number = version or upload.fields.get("version")
        wanted = None if not number else _parse_version(number)
        shown = visibility or _parse_visibility(upload.fields.get("visibility"))
        published = await service.publish(user, upload.folder, model, wanted, visibility=shown)
        return ManifestOut.of(published)


@router.get("/")
async def list_models(
    service: Service, identity: Manager, page: PageRequest = Depends()
) -> ModelPage:
    """List the models that you may use, by name."""
    return ModelPage.of(await service.page(identity.profile_id, page))


@router.get("/{name}/")
async def show(service: Service, identity: Manager, name: str) -> ModelOut:
    """Show a model's versions and labels."""
    return ModelOut.of(await service.get(identity.profile_id, name))


@router.patch("/{name}/")
async def change(
    service: Service, identity: Manager, name: str, body: ModelPatch
) -> ChangedModelOut:
    """Change who may use a model, or whose it is.

    Deployments of others that call a model keep calling the version that they pinned when it
    becomes private; `deployments_of_others` is their number.
    """
    changed = await service.change(identity.profile_id, name, **body.change())
    return ChangedModelOut.of_changed(changed)


@router.get("/{name}/versions/{version}/")
async def show_version(service: Service, identity: Manager, name: str, version: str) -> ManifestOut:
    """Show the manifest of a version: `latest`, a number or a label."""
    return ManifestOut.of(await service.manifest(identity.profile_id, name, version))


@router.delete("/{name}/versions/{version}/", status_code=204)
async def remove(service: Service, identity: Manager, name: str, version: str) -> None:
    """Delete a version that is not in use."""
    await service.remove(identity.profile_id, name, _parse_version(version))


@router.put("/{name}/labels/{label}/")
async def set_label(
    service: Service, identity: Manager, name: str, label: str, body: LabelIn
) -> ModelOut:
    """Point a label to a version."""
    return ModelOut.of(await service.set_label(identity.profile_id, name, label, body.version))


@router.delete("/{name}/labels/{label}/", status_code=204)
async def delete_label(service: Service, identity: Manager, name: str, label: str) -> None:
    """Delete a label."""
    await service.delete_label(identity.profile_id, name, label)


def _parse_version(text: str) -> int:
    try:
        return parse_version(text)
    except StoreError as error:
        raise GatewayError(error.code, error.message) from error


def _parse_visibility(text: str | None) -> Visibility | None:
    if not text:
        return None
    try:
        return Visibility(text)
    except ValueError:
        message = f"visibility: expected private or shared, got '{text[:40]}'"
        raise GatewayError(ErrorCode.INVALID_REQUEST, message) from None
