"""The trigger routes for the OpenAPI document; `gateway.fast_path` answers them.

They also make other methods answer 405.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Depends, Header, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from gateway.auth.security_schemes import ANY_SECURITY
from gateway.deployments.settings import ResponseFormat
from gateway.errors import GatewayError
from gateway.fast_path.body import MAX_BATCH_ITEMS
from gateway.operations import DocumentedRouter
from gateway.runs.schemas import Accepted, EnvelopeOut
from gateway.web.openapi import EXECUTES_FLOWS
from gateway.web.request_timeout import RequestTimeout
from protos.errors import ErrorCode

# Any: what JSON has, as pydantic types it
_ROW: Any = [[5.1, 3.5, 1.4, 0.2]]


class TriggerIn(BaseModel):
    """What a flow is called with."""

    model_config = ConfigDict(
        use_attribute_docstrings=True, json_schema_extra={"examples": [{"input_data": {"x": _ROW}}]}
    )

    # Any: the flow's own schema describes it
    input_data: dict[str, Any] = Field(default_factory=dict, examples=[{"x": _ROW}])
    """What the flow takes; the version's `input_schema` describes it."""


class BatchIn(BaseModel):
    """What a flow is called with, many times."""

    model_config = ConfigDict(
        use_attribute_docstrings=True,
        json_schema_extra={"examples": [{"input_data": [{"x": _ROW}, {"x": _ROW}]}]},
    )

    # Any: as above
    input_data: list[dict[str, Any]] = Field(
        min_length=1, max_length=MAX_BATCH_ITEMS, examples=[[{"x": _ROW}, {"x": _ROW}]]
    )
    """The inputs, each as in a call of its own."""


class FinishedOut(BaseModel):
    """The answer of mode `sync`, and of mode `fast`."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    status: Literal["completed"]
    """Always `completed`: failures are answered as problems."""
    # Any: the flow's own
    output_data: dict[str, Any] | None
    """What the flow returned."""
    node_outputs: dict[str, Any] | None = None
    """Of mode `sync`: what each node gave, by its id."""
    fast_mode: bool | None = None
    """Of mode `fast`: true."""
    duration_seconds: float
    """Of mode `sync`: how long the run took from its start; of mode `fast`: how long the call
    took."""
    flow_run_id: str | None = None
    """Of mode `sync`, and of mode `fast` if the run is recorded before the answer."""
    message: str
    """A sentence for people."""
    data: dict[str, Any] | None = None
    """The same fields once more, without `message`; absent if the outputs exceed 64 KiB."""


class BatchOut(BaseModel):
    """The answer to a batch: a result for each item, in their order."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    status: Literal["queued", "completed"]
    """`queued`: the run of at least one item goes on; `completed`: none does."""
    results: list[dict[str, Any]]
    """For each item its `index`, and what a call of its own would be answered; a failed one has the
    status `failed`, `error` with `code` and `message`, and `retryable`."""
    failed: int
    """How many items have failed."""


Finished = Annotated[FinishedOut | EnvelopeOut, Field(discriminator="status")]
Batch = Annotated[BatchOut | EnvelopeOut, Field(discriminator="status")]
Version = Annotated[
    int | None, Query(ge=1, description="A version other than the live one, such as 3.")
]
Format = Annotated[ResponseFormat | None, Query(description="A form other than the deployment's.")]
Prefer = Annotated[
    str | None,
    Header(description="`respond-async`, or `wait=N`: an answer within N seconds (RFC 7240)."),
]
IdempotencyKey = Annotated[
    str | None,
    Header(description="The same key with the same body means the same run, for 24 hours."),
]
Metadata = Annotated[
    str | None,
    Header(
        description=(
            "Labels of the run, as an RFC 9651 dictionary of tokens, strings or integers: "
            '`order=42, team=growth, note="two words"`. At most 16, and 4 KiB; a key has at most '
            "40 characters, a value 500."
        ),
        examples=["order=42, team=growth"],
    ),
]
Owner = Annotated[
    str, Path(description="The handle of the user whose deployment it is.", examples=["grace"])
]
Slug = Annotated[str, Path(description="The deployment's `slug`.", examples=["iris-classifier"])]


class CallOptions:
    """The query parameters and headers of a call, as a FastAPI dependency."""

    def __init__(
        self,
        *,
        version: Version = None,
        response_format: Format = None,
        prefer: Prefer = None,
        idempotency_key: IdempotencyKey = None,
        x_request_timeout: RequestTimeout = None,
        slipstream_metadata: Metadata = None,
    ) -> None:
        """Take nothing: they are documented here."""


Options = Annotated[CallOptions, Depends()]
# Any, here and below: as FastAPI has it
_CALL: dict[str, Any] = {"security": ANY_SECURITY, **EXECUTES_FLOWS}
_ACCEPTED: dict[int | str, dict[str, Any]] = {
    202: {"model": Accepted, "description": "The run goes on: ask for it later"}
}
_QUEUED: dict[int | str, dict[str, Any]] = {
    202: {"model": Batch, "description": "Runs were queued"}
}
router = DocumentedRouter(tags=["Trigger"])


@router.post(
    "/node/deployment-trigger/{deployment_id}/",
    operation_id="trigger_deployment",
    openapi_extra=_CALL,
    responses=_ACCEPTED,
)
async def trigger(
    *,
    deployment_id: str,  # noqa: ARG001 - documented here
    body: TriggerIn | None = None,  # noqa: ARG001 - likewise
    options: Options,  # noqa: ARG001 - likewise
) -> Finished:
    """Call a deployment: sync and fast answer with the result, async with the run's id."""
    raise _starting()


@router.post(
    "/node/deployment-trigger/{deployment_id}/batch/",
    operation_id="trigger_deployment_batch",
    openapi_extra=_CALL,
    responses=_QUEUED,
)
async def trigger_batch(
    *,
    deployment_id: str,  # noqa: ARG001 - documented here
    body: BatchIn,  # noqa: ARG001 - likewise
    options: Options,  # noqa: ARG001 - likewise
) -> Batch:
    """Call a deployment with many inputs: each has its own result or error."""
    raise _starting()


@router.post(
    "/v1/{owner}/{slug}/",
    operation_id="trigger_named_deployment",
    openapi_extra=_CALL,
    responses=_ACCEPTED,
)
async def trigger_named(
    *,
    owner: Owner,  # noqa: ARG001 - documented here
    slug: Slug,  # noqa: ARG001 - likewise
    body: TriggerIn | None = None,  # noqa: ARG001 - likewise
    options: Options,  # noqa: ARG001 - likewise
) -> Finished:
    """Call a deployment by its readable address, with the answers of `trigger_deployment`."""
    raise _starting()


@router.post(
    "/v1/{owner}/{slug}/batch/",
    operation_id="trigger_named_deployment_batch",
    openapi_extra=_CALL,
    responses=_QUEUED,
)
async def trigger_named_batch(
    *,
    owner: Owner,  # noqa: ARG001 - documented here
    slug: Slug,  # noqa: ARG001 - likewise
    body: BatchIn,  # noqa: ARG001 - likewise
    options: Options,  # noqa: ARG001 - likewise
) -> Batch:
    """Call a deployment by its readable address, with many inputs."""
    raise _starting()


def _starting() -> GatewayError:
    """Return the error for a request that arrived before the fast path was ready."""
    message = "starting: the gateway was loading when the request came"
    return GatewayError(ErrorCode.GATEWAY_STARTING, message, retry_after=1)
