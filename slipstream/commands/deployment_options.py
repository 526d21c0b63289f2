"""Options of `slipstream deployments create` and `set`."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.deployments.settings import (
    DeploymentType,
    ExecutionMode,
    NonFinite,
    OnTimeout,
    RecordRuns,
    ResponseFormat,
)
from gateway.webhooks.events import WebhookEvent

Slug = Annotated[
    str | None,
    typer.Option(
        help="What names it in its readable address: lower-case letters, digits and hyphens.",
        metavar="SLUG",
    ),
]
Mode = Annotated[ExecutionMode | None, typer.Option(help="How calls are answered.")]
Type = Annotated[
    DeploymentType | None,
    typer.Option("--type", help="Where the flow runs: on workers or in the gateway."),
]
Timeout = Annotated[int | None, typer.Option(help="Timeout of a run, in seconds.")]
CorsOrigins = Annotated[
    list[str] | None,
    typer.Option(metavar="ORIGIN", help="Origin whose pages may call it, or *; can be repeated."),
]
Format = Annotated[
    ResponseFormat | None,
    typer.Option(help="Format of responses; auto: envelope for fetch, else flat."),
]
NonFiniteForm = Annotated[
    NonFinite | None,
    typer.Option("--non-finite", help="What stands for NaN and infinities in output_data."),
]
CallbackUrl = Annotated[
    str | None,
    typer.Option(
        help="URL that receives webhook events about runs; see `webhooks`.", metavar="URL"
    ),
]
Events = Annotated[
    list[WebhookEvent] | None,
    typer.Option(
        "--event",
        help="run.started, run.completed, run.failed or run.cancelled; can be repeated. "
        "Default: run.completed and run.failed.",
        metavar="EVENT",
    ),
]
CancelOnDisconnect = Annotated[
    bool | None,
    typer.Option(
        "--cancel-on-disconnect/--no-cancel-on-disconnect",
        help="Whether a sync run is cancelled when its client disconnects.",
    ),
]

QueueTimeout = Annotated[
    int | None, typer.Option(help="How long a run may wait for a worker, in seconds.")
]
ColdStartWait = Annotated[
    int | None, typer.Option(help="How long a sync call waits for a worker to start, in seconds.")
]
AfterTimeout = Annotated[
    OnTimeout | None,
    typer.Option("--on-timeout", help="A sync run that times out: stop it, or let it go on."),
]
IncludeNodeOutputs = Annotated[
    bool | None,
    typer.Option(
        "--include-node-outputs/--no-include-node-outputs",
        help="Whether responses include the output of each node.",
    ),
]
RetrySafe = Annotated[
    bool | None,
    typer.Option(
        "--retry-safe/--no-retry-safe",
        help="Whether a run may be restarted after its worker was lost.",
    ),
]
RequireIdempotencyKey = Annotated[
    bool | None,
    typer.Option(
        "--require-idempotency-key/--no-require-idempotency-key",
        help="Whether calls without the header Idempotency-Key are refused.",
    ),
]
Recorded = Annotated[
    RecordRuns | None,
    typer.Option("--record-runs", help="Which fast calls are recorded as runs."),
]
RecordSample = Annotated[
    float | None,
    typer.Option(help="Share of successful calls that --record-runs sample records, from 0 to 1."),
]


def webhook_of(callback_url: str | None) -> dict[str, object]:
    """Return the settings that a callback URL implies."""
    if callback_url is None:
        return {}
    return {"callback_url": callback_url, "notification_method": "webhook"}


def secret_lines(secret: str | None) -> list[str]:
    """Return a line with the webhook secret, if one was created."""
    return [f"Webhook secret, shown only once: {secret}"] if secret else []
