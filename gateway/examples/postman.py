"""Collections and environments of Postman, which newman and other programs read, too. Pure."""

from __future__ import annotations

import json
from urllib.parse import parse_qsl, urlsplit
from uuid import NAMESPACE_URL, uuid5

from gateway.examples.call_requests import RUN_VARIABLE, CallRequest, requests_of
from gateway.examples.call_target import CallTarget, Json
from gateway.examples.choices import ExampleChoices

KEY_VARIABLE = "SLIPSTREAM_API_KEY"
_SCHEMA = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"


def postman_collection(target: CallTarget, choices: ExampleChoices) -> Json:
    """Return a collection with a request for each way to call the deployment."""
    return {
        "info": {
            "_postman_id": _id_of(target, "collection"),
            "name": target.name,
            "description": f"Mode {target.mode}. Set {KEY_VARIABLE} in an environment.",
            "schema": _SCHEMA,
        },
        "auth": {
            "type": "apikey",
            "apikey": [
                {"key": "key", "value": "X-API-Key", "type": "string"},
                {"key": "value", "value": f"{{{{{KEY_VARIABLE}}}}}", "type": "string"},
                {"key": "in", "value": "header", "type": "string"},
            ],
        },
        "variable": [
            {"key": "base_url", "value": target.base_url},
            {"key": KEY_VARIABLE, "value": "", "type": "secret"},
            {"key": RUN_VARIABLE, "value": ""},
        ],
        "item": [_item(request) for request in requests_of(target, choices)],
    }


def postman_environment(target: CallTarget) -> Json:
    """Return the variables of the collection; that of the key is empty and secret."""
    return {
        "id": _id_of(target, "environment"),
        "name": target.name,
        "values": [
            {"key": "base_url", "value": target.base_url, "type": "default", "enabled": True},
            {"key": KEY_VARIABLE, "value": "", "type": "secret", "enabled": True},
        ],
        "_postman_variable_scope": "environment",
    }


def body_text(body: Json) -> str:
    """Return a body as JSON in which nothing is taken for a variable.

    Two braces stand together within strings only.
    """
    return json.dumps(body, ensure_ascii=False, indent=2).replace("{{", "{\\u007b")


def _item(request: CallRequest) -> Json:
    headers = [{"key": name, "value": value} for name, value in request.headers.items()]
    if request.needs_idempotency_key:
        headers.append({"key": "Idempotency-Key", "value": "{{$guid}}"})
    asked: Json = {"method": request.method, "header": headers, "url": _url(request.path)}
    if request.body is not None:
        asked["body"] = {
            "mode": "raw",
            "raw": body_text(request.body),
            "options": {"raw": {"language": "json"}},
        }
    script = {"type": "text/javascript", "exec": _tests(request)}
    return {
        "name": request.name,
        "event": [{"listen": "test", "script": script}],
        "request": asked,
    }


def _url(path: str) -> Json:
    """Return a URL in parts; the empty last part is the path's slash at the end."""
    path = path.replace(f"{{{RUN_VARIABLE}}}", f"{{{{{RUN_VARIABLE}}}}}")
    parts = urlsplit(path)
    return {
        "raw": "{{base_url}}" + path,
        "host": ["{{base_url}}"],
        "path": parts.path.removeprefix("/").split("/"),
        "query": [{"key": name, "value": value} for name, value in parse_qsl(parts.query)],
    }


def _tests(request: CallRequest) -> list[str]:
    lines = [
        f'pm.test("answers {request.status}", () => pm.response.to.have.status({request.status}));'
    ]
    if request.starts_run:
        lines.append(
            "const run = pm.response.json();\n"
            f'pm.collectionVariables.set("{RUN_VARIABLE}", (run.data ?? run).flow_run_id);'
        )
    return "\n".join(lines).split("\n")


def _id_of(target: CallTarget, kind: str) -> str:
    """Return the same id for each export, so that an import replaces the one before."""
    return str(uuid5(NAMESPACE_URL, f"{target.deployment_id}/{kind}"))
