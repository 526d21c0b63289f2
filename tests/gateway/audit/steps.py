"""A request for every route that changes something, and the act that it is to leave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.gateway.in_process_gateway import flow_json

_CALL = "calls a deployment: its runs are the record of that"
_RUN = "takes a run, which takes a call: tests/gateway/runs/test_acts.py has them"
_SEND = "sends an event, and changes nothing: the delivery with its attempts is the record of that"
_PROCESS = "says how a process is, every second: the log has what registers and what is gone"
_LOOK = "changes nothing: a call of the Open Inference Protocol, or a question in a body"
_WATCH = "changes nothing: for minutes, calls of a deployment are also shown in the console"
_VERIFY = "changes nothing: a question whose body holds a secret, which is kept nowhere"
_SETUP = "works once, without a credential: tests/gateway/accounts/test_setup.py has it"
_INVITATION = (
    "takes a token, without a credential: tests/gateway/accounts/test_invitations.py has it"
)
_SESSION = "is about console sessions: tests/gateway/accounts/test_audit_events.py has them"

EXEMPT: Mapping[str, str] = {
    "POST /node/deployment-trigger/{deployment_id}/": _CALL,
    "POST /node/deployment-trigger/{deployment_id}/batch/": _CALL,
    "POST /v1/{owner}/{slug}/": _CALL,
    "POST /v1/{owner}/{slug}/batch/": _CALL,
    "POST /node/deployments/{deployment_id}/watch/": _WATCH,
    "POST /node/deployments/{deployment_id}/rehearse/": _CALL,
    "POST /node/deployments/{deployment_id}/rehearsals/cancel/": _CALL,
    "POST /node/flow-runs/{run_id}/cancel/": _RUN,
    "POST /node/flow-runs/{run_id}/retry/": _RUN,
    "DELETE /node/flow-runs/": _RUN,
    "POST /node/webhooks/deliveries/{delivery_id}/replay/": _SEND,
    "POST /node/webhooks/endpoints/{deployment_id}/test/": _SEND,
    "POST /node/expressions/check/": _LOOK,
    "POST /node/flows/check/": _LOOK,
    "POST /node/flows/test/": _CALL,
    "POST /node/webhooks/verify/": _VERIFY,
    "POST /node/session/": _SESSION,
    "POST /node/session/invitation/": _INVITATION,
    "POST /node/setup/": _SETUP,
    "DELETE /node/session/": _SESSION,
    "POST /node/session/password/": _SESSION,
    "DELETE /node/sessions/{session_id}/": _SESSION,
    "PUT /node/inference-servers/registered/{registration_id}/": _PROCESS,
    "DELETE /node/inference-servers/registered/{registration_id}/": _PROCESS,
    "POST /v2/models/{model}/infer": _LOOK,
    "POST /v2/models/{model}/versions/{version}/infer": _LOOK,
    "POST /v2/repository/index": _LOOK,
}
"""Routes that leave none, or not by key, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One request that changes something, and the act that it leaves."""

    action: str
    subject_kind: str
    # Any: a body
    body: Mapping[str, Any] = field(default_factory=dict)
    also: tuple[str, ...] = ()
    """Further acts that it leaves."""
    named: str | None = None
    """What later paths call the id in the answer."""


def steps(model: bytes) -> Mapping[str, Step]:
    """Return a step for every route, in an order in which each finds what it needs."""
    flow, key, deployment = "flow", "api_key", "deployment"
    server, webhook = "inference_server", "webhook"
    saved = {"json": flow_json()}
    return {
        "POST /node/flows/": Step(
            action="flow.create", subject_kind=flow, body=saved, named="flow_id"
        ),
        "PUT /node/flows/{flow_id}/": Step(
            action="flow.update", subject_kind=flow, body={"json": flow_json("scaled")}
        ),
        "PATCH /node/flows/{flow_id}/": Step(
            action="flow.update", subject_kind=flow, body={"json": {"name": "Other"}}
        ),
        "POST /node/flows/{flow_id}/revisions/": Step(
            action="flow.name_revision", subject_kind=flow, body={"json": {"name": "Good"}}
        ),
        "POST /node/api-keys/": Step(
            action="api_key.create",
            subject_kind=key,
            body={"json": {"name": "phone"}},
            named="key_id",
        ),
        "POST /node/deployments/": Step(
            action="deployment.create",
            subject_kind=deployment,
            body={"json": {"flow_id": "{flow_id}"}},
            named="deployment_id",
        ),
        "POST /node/api-keys/{key_id}/deactivate/": Step(
            action="api_key.deactivate", subject_kind=key
        ),
        "POST /node/api-keys/{key_id}/activate/": Step(action="api_key.activate", subject_kind=key),
        "PATCH /node/api-keys/{key_id}/": Step(
            action="api_key.update", subject_kind=key, body={"json": {"environment": "test"}}
        ),
        "POST /node/api-keys/{key_id}/rotate/": Step(
            action="api_key.rotate", subject_kind=key, also=("api_key.create",)
        ),
        "POST /node/api-keys/{key_id}/end-grace/": Step(
            action="api_key.end_grace", subject_kind=key
        ),
        "POST /node/deployments/{deployment_id}/api-keys/": Step(
            action="api_key.create", subject_kind=key
        ),
        "DELETE /node/api-keys/{key_id}/": Step(action="api_key.delete", subject_kind=key),
        "PATCH /node/deployments/{deployment_id}/": Step(
            action="deployment.update",
            subject_kind=deployment,
            body={"json": {"notification_method": "webhook", "callback_url": "https://8.8.8.8/"}},
            also=("webhook.create",),
        ),
        "PATCH /node/webhooks/endpoints/{deployment_id}/": Step(
            action="webhook.update", subject_kind=webhook, body={"json": {"events": []}}
        ),
        "POST /node/webhooks/endpoints/{deployment_id}/rotate/": Step(
            action="webhook.rotate", subject_kind=webhook
        ),
        "POST /node/webhooks/endpoints/{deployment_id}/end-overlap/": Step(
            action="webhook.end_overlap", subject_kind=webhook
        ),
        "POST /node/webhooks/endpoints/{deployment_id}/resume/": Step(
            action="webhook.resume", subject_kind=webhook
        ),
        "POST /node/webhooks/endpoints/{deployment_id}/replay/": Step(
            action="webhook.replay",
            subject_kind=webhook,
            body={"json": {"since": "2026-01-02T03:04:05Z"}},
        ),
        "POST /node/deployments/{deployment_id}/pause/": Step(
            action="deployment.pause", subject_kind=deployment
        ),
        "POST /node/deployments/{deployment_id}/resume/": Step(
            action="deployment.resume", subject_kind=deployment
        ),
        "POST /node/deployments/{deployment_id}/redeploy/": Step(
            action="deployment.redeploy", subject_kind=deployment
        ),
        "POST /node/deployments/{deployment_id}/rollout/": Step(
            action="deployment.start_rollout",
            subject_kind=deployment,
            body={"json": {"strategy": "canary"}},
        ),
        "PATCH /node/deployments/{deployment_id}/rollout/": Step(
            action="deployment.change_rollout",
            subject_kind=deployment,
            body={"json": {"weight": 20}},
        ),
        "DELETE /node/deployments/{deployment_id}/rollout/": Step(
            action="deployment.roll_back", subject_kind=deployment
        ),
        "PATCH /node/deployments/{deployment_id}/versions/{number}/": Step(
            action="deployment_version.describe",
            subject_kind="deployment_version",
            body={"json": {"description": "As it was."}},
        ),
        "POST /node/deployments/{deployment_id}/versions/{number}/promote/": Step(
            action="deployment.promote", subject_kind=deployment
        ),
        "DELETE /node/deployments/{deployment_id}/": Step(
            action="deployment.delete", subject_kind=deployment, also=("api_key.deactivate",)
        ),
        "DELETE /node/flows/{flow_id}/": Step(action="flow.delete", subject_kind=flow),
        "POST /node/models/": Step(
            action="model.publish",
            subject_kind="model",
            body={"data": {"name": "{name}"}, "files": {"file": ("model.onnx", model)}},
        ),
        "PATCH /node/models/{name}/": Step(
            action="model.update", subject_kind="model", body={"json": {"visibility": "shared"}}
        ),
        "PUT /node/models/{name}/labels/{label}/": Step(
            action="model.label", subject_kind="model", body={"json": {"version": 1}}
        ),
        "DELETE /node/models/{name}/labels/{label}/": Step(
            action="model.unlabel", subject_kind="model"
        ),
        "DELETE /node/models/{name}/versions/{version}/": Step(
            action="model.remove", subject_kind="model"
        ),
        "POST /node/users/": Step(
            action="user.create",
            subject_kind="user",
            body={"json": {"email": "new@example.com"}},
            named="user_id",
        ),
        "PATCH /node/users/{user_id}/": Step(
            action="user.update", subject_kind="user", body={"json": {"role": "admin"}}
        ),
        "POST /node/users/{user_id}/invitation/": Step(action="user.invite", subject_kind="user"),
        "DELETE /node/users/{user_id}/sessions/": Step(
            action="user.end_sessions", subject_kind="user"
        ),
        "DELETE /node/users/{user_id}/": Step(action="user.delete", subject_kind="user"),
        "POST /node/inference-servers/": Step(
            action="inference_server.create",
            subject_kind=server,
            body={"json": {"model": "mlp"}},
            named="server_id",
        ),
        "PATCH /node/inference-servers/{server_id}/": Step(
            action="inference_server.update",
            subject_kind=server,
            body={"json": {"idle_timeout_seconds": 60}},
        ),
        "POST /node/inference-servers/{server_id}/stop/": Step(
            action="inference_server.stop", subject_kind=server
        ),
        "POST /node/inference-servers/{server_id}/start/": Step(
            action="inference_server.start", subject_kind=server
        ),
        "DELETE /node/inference-servers/{server_id}/": Step(
            action="inference_server.delete", subject_kind=server
        ),
    }
