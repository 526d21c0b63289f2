"""What the OpenAPI document says of the gateway as a whole, and of each group of routes."""

from __future__ import annotations

DESCRIPTION = """Deploy flows and ONNX models behind API endpoints: sync, async or fast.

Calls of `/node/` carry an API key as `X-API-Key` or bearer token, or come from a console session.
Errors are `application/problem+json`; decide by their `code`. Those of `/v2`, the Open Inference
Protocol, are `{"error": "…"}`. Every answer has an `X-Request-ID`. The last `/` of a path may be
left out.
"""

_DESCRIPTIONS = {
    "Trigger": "Call what is deployed.",
    "Flow runs": "What became of calls: ask, wait, follow, cancel, repeat.",
    "Flows": "Drafts: nodes and edges, which are deployed as they are at that moment.",
    "Deployments": "Flows behind URLs, their settings and their versions.",
    "Models": "ONNX files, in versions, with labels.",
    "Inference servers": "The processes that run models.",
    "API keys": "What programs call with: scopes, expiry, rotation.",
    "Sessions": "Logging in to the console, and out.",
    "Users": "Who may log in, and as what; for admins and owners.",
    "Usage": "Calls, errors and latencies by deployment, version and key.",
    "Webhooks": "Messages about runs to a URL of yours.",
    "Audit log": "Who did what, when and from where.",
    "Open Inference Protocol": "Models without flows, as clients of KServe and Triton call them.",
    "Problems": "What error codes mean, and what to do next.",
    "Operations": "Metrics for Prometheus.",
}
TAGS = [{"name": name, "description": text} for name, text in _DESCRIPTIONS.items()]
