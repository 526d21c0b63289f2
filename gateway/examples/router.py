"""`/node/deployments/{id}/examples/`; needs a `manage` key or a session."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query, Response

from gateway.auth.access import Manager
from gateway.dependencies import from_app
from gateway.examples.choices import ExampleChoices, KeySource, Language, Variant
from gateway.examples.exports import DeploymentExportFormat
from gateway.examples.schemas import ExampleList
from gateway.examples.service import ExampleService
from gateway.operations import DocumentedRouter
from gateway.web.public_url import PublicUrl
from gateway.web.row_names import DeploymentId

Service = Annotated[ExampleService, from_app(ExampleService)]
Number = Annotated[int | None, Query(ge=1, le=999_999_999)]
# Any: OpenAPI's own form
_EXPORT: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {
            "application/json": {"schema": {"type": "object"}},
            "text/plain": {"schema": {"type": "string"}},
        },
        "description": "The file.",
    }
}
router = DocumentedRouter(prefix="/node/deployments/{deployment_id}", tags=["Deployments"])


@router.get("/examples/")
async def list_examples(
    service: Service,
    actor: Manager,
    url: PublicUrl,
    deployment_id: DeploymentId,
    *,
    language: Language | None = None,
    variant: Variant | None = None,
    key: KeySource = KeySource.MASKED,
    retry: bool | None = None,
    version: Number = None,
) -> ExampleList:
    """Write code that calls a deployment, with the test data of the live or another version.

    Keys are masked, or read from the environment variable SLIPSTREAM_API_KEY. Retries are in
    programs, and in commands with `retry=true`.
    """
    choices = ExampleChoices(
        language=language, variant=variant, key=key, retry=retry, version=version
    )
    examples = await service.examples(actor.profile_id, deployment_id, choices, url=url)
    return ExampleList.of(examples)


@router.get("/export/", response_class=Response, responses=_EXPORT)
async def export_deployment(
    service: Service,
    actor: Manager,
    url: PublicUrl,
    deployment_id: DeploymentId,
    *,
    form: Annotated[DeploymentExportFormat, Query(alias="format")] = DeploymentExportFormat.POSTMAN,
    version: Number = None,
) -> Response:
    """Download a collection, its environment, an OpenAPI document or a file of requests.

    None of them has a key in it: its variable is empty.
    """
    export = await service.export(actor.profile_id, deployment_id, form, version=version, url=url)
    headers = {
        "content-disposition": f'attachment; filename="{export.filename}"',
        "cache-control": "no-store",
    }
    return Response(export.content, media_type=export.media_type, headers=headers)
