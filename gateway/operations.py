"""The operations of the REST API in its OpenAPI document: their tags and ids."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.routing import APIRoute

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
_VERBS = {"GET": "get", "POST": "create", "PUT": "replace", "PATCH": "change", "DELETE": "delete"}


class DocumentedRouter(APIRouter):
    """A router whose operations are named by `operation_id`."""

    # Any: the options of APIRouter
    def __init__(self, **options: Any) -> None:
        """Take the options of APIRouter."""
        super().__init__(generate_unique_id_function=operation_id, **options)


def operation_id(route: APIRoute) -> str:
    """Return an operation's id, such as `list_flows`, `get_flow` or `pause_deployment`.

    Generated clients name their functions so. The last word of a POST is a verb, unless it is a
    plural: then the operation creates one.
    """
    (method,) = route.methods or {"GET"}
    parts = [part for part in route.path_format.split("/") if part and part != "node"]
    words = [part for part in parts if not part.startswith("{")]
    owners, last = [_singular(word) for word in words[:-1]], words[-1]
    names_one = parts[-1].startswith("{")
    if method == "POST" and len(parts) > 1 and not last.endswith("s"):
        name = [last, *owners]
    elif method == "GET" and not names_one:
        name = ["list" if last.endswith("s") else "get", *owners, last]
    elif method == "DELETE" and not names_one:
        name = ["delete", *owners, last]
    else:
        name = [_VERBS[method], *owners, _singular(last)]
    return "_".join(name).replace("-", "_")


def _singular(noun: str) -> str:
    return noun[:-3] + "y" if noun.endswith("ies") else noun.removesuffix("s")
