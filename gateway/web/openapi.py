"""What all routes have in common in the OpenAPI document: their errors, ids and summaries.

Routes declare what is their own: parameters, bodies, and successful responses. Their error
responses follow from what they take, and are added here for all of them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from starlette.routing import compile_path

from gateway.operations import KNOWN_QUERIES_ONLY
from protos.errors import ErrorCode

EXECUTES_FLOWS: Mapping[str, Any] = {"x-executes": True}
"""`openapi_extra` of a route that runs flows or models: it may fail for their reasons, too."""

_V2 = "/v2"
_ONCE = frozenset({"/node/setup/", "/node/session/invitation/"})
"""They take a token once, and then answer that it is gone."""
_ALWAYS = frozenset({408, 414, 431, 500, 503, 504})
_WITH_CREDENTIALS = frozenset({401, 403, 429})
_WITH_INPUT = frozenset({400, 404, 422})
_WITH_BODY = frozenset({413, 415})
_WITH_EFFECTS = frozenset({409, 507})
_EXECUTING = frozenset({501, 502})
_NAMED = {"{deployment_id}": 410, "{slug}": 410, "{flow_id}": 409}
"""By path parameter: a deployment may be deleted, and several flows may have a name."""
_V2_STATUSES = {code.v2_status for code in ErrorCode} - {409, 410, 422}
_GET = "get"


# Any, here and below: OpenAPI's own form
Json = dict[str, Any]

_PROBLEM: Json = {
    "type": "object",
    "title": "Problem",
    "description": "Why a request was refused or failed (RFC 9457).",
    "required": [
        *("type", "title", "status", "detail", "code", "message", "request_id", "retryable"),
        "docs_url",
    ],
    "properties": {
        "type": {
            "type": "string",
            "format": "uri-reference",
            "description": "What kind of problem it is (RFC 9457); programs decide by `code`.",
            "examples": ["/problems/not-found"],
        },
        "title": {"type": "string", "description": "The kind of problem in a few words."},
        "status": {"type": "integer", "description": "The answer's HTTP status."},
        "detail": {"type": "string", "description": "The same as `message`."},
        "code": {
            "$ref": "#/components/schemas/ErrorCode",
            "description": "What went wrong, as a stable name.",
        },
        "message": {"type": "string", "description": "What was expected, what came, what to do."},
        "request_id": {"type": "string", "description": "As in `X-Request-ID`."},
        "retryable": {"type": "boolean", "description": "Whether the same call may yet succeed."},
        "docs_url": {
            "type": "string",
            "format": "uri-reference",
            "description": "What the code means, and what to do next.",
            "examples": ["/problems/not-found"],
        },
        "instance": {
            "type": "string",
            "format": "uri-reference",
            "description": "The run that it is about, where there is one.",
        },
        "errors": {
            "type": "array",
            "description": "Of what was invalid: one for each field.",
            "items": {
                "type": "object",
                "required": ["detail", "pointer"],
                "properties": {
                    "detail": {"type": "string", "description": "What was expected, what came."},
                    "pointer": {"type": "string", "description": "Where, as `#/field/0`."},
                },
            },
        },
    },
}
_ERROR_CODE: Json = {
    "type": "string",
    "title": "ErrorCode",
    "description": "The stable name: programs decide by this one.",
    "enum": [code.value for code in ErrorCode],
}
_V2_ERROR: Json = {
    "type": "object",
    "title": "V2Error",
    "description": "Why a call of the Open Inference Protocol failed.",
    "required": ["error"],
    "properties": {
        "error": {"type": "string", "description": "What was expected, what came, what to do."}
    },
}
_RETRY_AFTER: Json = {"description": "Seconds to wait.", "schema": {"type": "integer"}}
_SCHEME: Json = {"description": "What to authenticate with.", "schema": {"type": "string"}}
_HEADERS: Mapping[int, Json] = {
    401: {"WWW-Authenticate": _SCHEME},
    429: {"Retry-After": _RETRY_AFTER},
    503: {"Retry-After": _RETRY_AFTER},
}


class DocumentedFastAPI(FastAPI):
    """FastAPI with a complete document."""

    _lock = threading.Lock()
    """Held to build the document: other threads must not see an incomplete one."""
    _complete = False
    named_schemas: Mapping[str, Json] = {}
    """Schemas that routes refer to by name, beside those of models."""
    security_schemes: Mapping[str, Json] = {}

    def openapi(self) -> Json:
        """Return the OpenAPI document. The first time, this takes a few hundred milliseconds."""
        with self._lock:
            document = super().openapi()
            if not self._complete:
                complete_document(document, self.named_schemas)
                document["components"]["securitySchemes"] = dict(self.security_schemes)
                self._complete = True
        return document

    def methods_of(self, path: str) -> list[str]:
        """Return the methods of all routes at a path; empty where the document has none.

        Starlette returns those of the first route only.
        """
        for template, item in self.openapi()["paths"].items():
            if compile_path(template)[0].match(path):
                found = {method.upper() for method in item}
                return sorted(found | {"HEAD"} if "GET" in found else found)
        return []


def complete_document(document: Json, named_schemas: Mapping[str, Json]) -> None:
    """Add schemas and how each route fails, and shorten summaries to a sentence; in place."""
    document["servers"] = [{"url": "/", "description": "The installation that has this document."}]
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for replaced in ("HTTPValidationError", "ValidationError"):
        schemas.pop(replaced, None)
    schemas["Problem"] = _PROBLEM
    schemas["ErrorCode"] = _ERROR_CODE
    schemas["V2Error"] = _V2_ERROR
    schemas.update(named_schemas)
    for item in document.get("webhooks", {}).values():
        for operation in item.values():
            _summarise(operation)
            operation["security"] = []  # the signature says who sends it
            # What receivers answer is up to them: 2xx is success.
            operation["responses"] = {"2XX": {"description": "The event was received."}}
    answers = components.setdefault("responses", {})
    for path, item in document["paths"].items():
        v2 = path.startswith(_V2)
        for method, operation in item.items():
            _summarise(operation)
            for parameter in operation.get("parameters", ()):
                if parameter["in"] == "header" and parameter["schema"].get("type") == "array":
                    # Lines of one name are one value (RFC 9110), and generators skip the others.
                    parameter["schema"] = {"type": "string"}
            responses = operation["responses"]
            responses.pop("422", None)  # FastAPI's own
            for status in sorted(_failures(path, method, operation)):
                if not v2 or status in _V2_STATUSES:
                    name = f"{'V2' if v2 else ''}{_phrase(status).title().replace(' ', '')}"
                    answers.setdefault(name, _answer(status, v2=v2))
                    responses.setdefault(str(status), {"$ref": f"#/components/responses/{name}"})
            operation["responses"] = dict(sorted(responses.items()))
            operation.setdefault("security", [])  # said where none is needed, too


def _failures(path: str, method: str, operation: Json) -> Iterator[int]:
    """Yield the statuses that an operation may answer when it fails."""
    yield from _ALWAYS
    body = "requestBody" in operation
    if operation.get("security") or body:
        yield from _WITH_CREDENTIALS
    if operation.get("parameters") or body:
        yield from _WITH_INPUT
    if path.startswith(KNOWN_QUERIES_ONLY):
        yield 400
    if body:
        yield from _WITH_BODY
    if method != _GET:
        yield from _WITH_EFFECTS
    if any(parameter["name"] == "if-match" for parameter in operation.get("parameters", ())):
        yield 412
    if operation.pop("x-needs-if-match", False):
        yield 428
    if path in _ONCE:
        yield 410
    yield from (status for name, status in _NAMED.items() if name in path)
    if operation.pop("x-executes", False):
        yield from _EXECUTING


def _answer(status: int, *, v2: bool) -> Json:
    codes = ", ".join(
        f"`{code}`" for code in ErrorCode if status == (code.v2_status if v2 else code.http_status)
    )
    media, schema = (
        ("application/json", "V2Error") if v2 else ("application/problem+json", "Problem")
    )
    answer: Json = {
        "description": f"{_phrase(status)}: {codes}." if codes else f"{_phrase(status)}.",
        "content": {media: {"schema": {"$ref": f"#/components/schemas/{schema}"}}},
    }
    if status in _HEADERS:
        answer["headers"] = _HEADERS[status]
    return answer


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase.replace("-", " ")


def _summarise(operation: Json) -> None:
    """Make the description's first sentence the summary, in place of the function's name."""
    description = operation.get("description")
    if description:
        first = description.partition("\n\n")[0].replace("\n", " ")
        operation["summary"] = first.partition(". ")[0].rstrip(".")
