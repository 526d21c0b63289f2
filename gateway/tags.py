"""Texts of the OpenAPI document: the description of the API and of its tags."""

from __future__ import annotations

DESCRIPTION = """Deploy flows and ONNX models behind API endpoints: sync, async or fast.

Requests to `/node/` carry an API key as `X-API-Key` or bearer token, or a console session.
Errors are `application/problem+json`; programs use their `code`. Those of `/v2`, the Open Inference
Protocol, are `{"error": "…"}`. Every response has an `X-Request-ID`. The last `/` of a path is
optional.
"""

_DESCRIPTIONS = {
    "Trigger": "Call deployments.",
    "Flow runs": "Runs of flows: read, wait, stream, cancel, retry.",
    "Flows": "Drafts of nodes and edges; a deployment runs a snapshot.",
    "Deployments": "Flows behind URLs, their settings and their versions.",
    "Models": "ONNX files, in versions, with labels.",
    "Inference servers": "The processes that run models.",
    "API keys": "Credentials of programs: scopes, expiry, rotation.",
    "Sessions": "Console login and logout.",
    "Users": "Users and their roles; for admins and owners.",
    "Usage": "Calls, errors and latencies by deployment, version and key.",
    "Webhooks": "Events about runs, sent to your URL.",
    "Audit log": "Who did what, when and from where.",
    "Open Inference Protocol": "Models without flows, as clients of KServe and Triton call them.",
    "Problems": "The error codes, with advice.",
    "Operations": "Metrics for Prometheus.",
}
TAGS = [{"name": name, "description": text} for name, text in _DESCRIPTIONS.items()]
