"""`/node/models/`, for a `manage` key or a session; owners and administrators change models."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Depends, Query, Request

from gateway.auth.access import Manager, manager
from gateway.auth.model_access import Visibility
from gateway.dependencies import from_app
from gateway.errors import GatewayError
from gateway.models.graphs import ModelGraphs
from gateway.models.schemas import (
    ChangedModelOut,
    LabelIn,
    ManifestOut,
    ModelGraphOut,
    ModelOut,
    ModelPage,
    ModelPatch,
    ModelSummaryPage,
)
from gateway.models.service import ModelService
from gateway.models.summaries import ModelSummaries
from gateway.models.uploads import receive_upload
from gateway.operations import BodyLimit, DocumentedRouter
from gateway.storage.paging import PageRequest
from gateway.upstream.servers import InferenceServers
from model_store.errors import StoreError
from model_store.names import parse_version
from model_store.tensor_names import TensorNames
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
                        "columns": {"type": "string"},
                        "classes": {"type": "string"},
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
    columns: str | None = None,
    classes: str | None = None,
) -> ManifestOut:
    """Publish a model version: the .onnx file as the body, or a form with external data.

    `name`, `version`, `visibility`, `columns` and `classes` are in the query or in the form.
    Without a version, the next one is assigned. A new model is yours, and private unless
    `visibility` is `shared`. `columns` names the last dimension of an input, as in `age,income`:
    rows may then be objects. `classes` names that of an output with probabilities, whose rows are
    then objects. `warnings` says what of the model is not served.
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
        names = _parse_names(
            columns or upload.fields.get("columns"), classes or upload.fields.get("classes")
        )
        published = await service.publish(
            user, upload.folder, model, wanted, visibility=shown, names=names
        )
        return ManifestOut.of(published)


@router.get("/")
async def list_models(
    service: Service,
    summaries: Annotated[ModelSummaries, from_app(ModelSummaries)],
    servers: Annotated[InferenceServers, from_app(InferenceServers)],
    identity: Manager,
    page: PageRequest = Depends(),
    *,
    view: Literal["names", "summary"] = "names",
    q: Annotated[str, Query(max_length=128)] = "",
) -> ModelPage | ModelSummaryPage:
    """List the models that you may use, by name; with `q`, those whose names contain it.

    With `view=summary` each has its newest versions, signature, inference servers, and what uses
    it.
    """
    user = identity.profile_id
    if view == "summary":
        return ModelSummaryPage.of(await summaries.page(user, page, containing=q), servers)
    return ModelPage.of(await service.page(user, page, containing=q))


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


@router.get("/{name}/versions/{version}/graph/")
async def show_graph(
    graphs: Annotated[ModelGraphs, from_app(ModelGraphs)],
    identity: Manager,
    name: str,
    version: str,
) -> ModelGraphOut:
    """Show the operators of a version, and how they are connected."""
    return ModelGraphOut.of(await graphs.find(identity.profile_id, name, version))


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


def _parse_names(columns: str | None, classes: str | None) -> TensorNames:
    try:
        return TensorNames.parse(columns, classes)
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
