"""An OpenAPI document of one deployment, with the schema of its own input. Pure."""

from __future__ import annotations

from gateway.deployments.settings import ExecutionMode, ResponseFormat
from gateway.examples.call_requests import requests_of
from gateway.examples.call_target import CallTarget, Json
from gateway.examples.choices import ExampleChoices

_OBJECT: Json = {"type": "object"}
_RUN: Json = {
    "type": "object",
    "properties": {
        "flow_run_id": {"type": "string"},
        "status": {"type": "string"},
        "output_data": _OBJECT,
    },
}
_PROBLEM: Json = {
    "description": "A problem: programs use its `code`.",
    "content": {
        "application/problem+json": {
            "schema": {
                "type": "object",
                "required": ["code", "message"],
                "properties": {"code": {"type": "string"}, "message": {"type": "string"}},
            }
        }
    },
}


def openapi_document(target: CallTarget, choices: ExampleChoices) -> Json:
    """Return a document with the deployment's URL, input and answers."""
    version = choices.version
    (call, *_) = requests_of(target, choices)
    path, _, query = call.path.partition("?")
    operation: Json = {
        "operationId": "call_deployment",
        "summary": f"Call {target.name} (mode {target.mode})",
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": _body_schema(target), "example": call.body}},
        },
        "responses": {**_answers(target), "default": _PROBLEM},
    }
    if query:
        operation["parameters"] = [_version_parameter(query)]
    if call.needs_idempotency_key:
        operation.setdefault("parameters", []).append(_header("Idempotency-Key"))
    return {
        "openapi": "3.1.0",
        "info": {
            "title": target.name,
            "version": "live" if version is None else str(version),
        },
        "servers": [{"url": target.base_url}],
        "security": [{"api_key": []}],
        "paths": {path: {"post": operation}},
        "components": {
            "securitySchemes": {"api_key": {"type": "apiKey", "in": "header", "name": "X-API-Key"}}
        },
    }


def _body_schema(target: CallTarget) -> Json:
    given = dict(target.input_schema or _OBJECT)
    given.pop("$schema", None)
    # its references lead into it, not into this document
    given.setdefault("$id", f"urn:slipstream:deployment:{target.deployment_id}:input")
    return {"type": "object", "required": ["input_data"], "properties": {"input_data": given}}


def _answers(target: CallTarget) -> Json:
    run = _RUN
    if target.response_format is ResponseFormat.ENVELOPE:
        run = {
            "type": "object",
            "required": ["status", "data"],
            "properties": {"status": {"const": "success"}, "data": _RUN},
        }
    content = {"application/json": {"schema": run}}
    accepted = {"description": "A run was started: ask for its result.", "content": content}
    if target.mode is ExecutionMode.ASYNC:
        return {"202": accepted}
    answered = {"description": "The result.", "content": content}
    if target.mode is ExecutionMode.FAST:
        return {"200": answered}
    return {"200": answered, "202": accepted}


def _version_parameter(query: str) -> Json:
    name, _, value = query.partition("=")
    schema = {"type": "integer", "const": int(value)}
    return {"name": name, "in": "query", "required": True, "schema": schema}


def _header(name: str) -> Json:
    return {"name": name, "in": "header", "required": True, "schema": {"type": "string"}}
