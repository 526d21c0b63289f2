"""What FastAPI and its routes refuse, as problems."""

from __future__ import annotations

from json import JSONDecodeError

import anyio.to_thread
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from gateway.errors import GatewayError
from gateway.web.openapi import DocumentedFastAPI
from gateway.web.problems import problem
from protos.errors import ErrorCode
from telemetry.redaction import redact_message

_EXCERPT = 80
"""Characters of an invalid value that its error repeats."""
_MAX_FAULTS = 100
"""Listed in an answer, which would else be larger than the body."""


class FastApiErrorHandlers:
    """The exception handlers of an application.

    Below the path prefixes `private`, bodies hold passwords: what came is never repeated.
    """

    def __init__(self, app: DocumentedFastAPI, *, private: tuple[str, ...]) -> None:
        self._app = app
        self._private = private
        app.add_exception_handler(GatewayError, self._refused)
        app.add_exception_handler(RequestValidationError, self._invalid)
        app.add_exception_handler(HTTPException, self._no_route)
        app.add_exception_handler(ClientDisconnect, self._disconnected)
        app.add_exception_handler(Exception, self._unforeseen)

    async def _refused(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, GatewayError)
        return _answer(request, error)

    async def _invalid(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        faults = error.errors()
        media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if not _is_json(media) and any(_concerns_whole_body(fault) for fault in faults):
            message = f"Content-Type: expected application/json, got '{_excerpt(media)}'"
            return _answer(request, GatewayError(ErrorCode.UNSUPPORTED_MEDIA_TYPE, message))
        if any(fault["type"] == "json_invalid" for fault in faults):
            return _answer(request, GatewayError(ErrorCode.INVALID_JSON, _not_json(error)))
        private = request.url.path.startswith(self._private)
        fields = [
            {
                "detail": fault["msg"]
                + ("" if private else f", got {_excerpt(fault.get('input'))!r}"),
                "pointer": "#/" + "/".join(str(part) for part in fault["loc"][1:]),
            }
            for fault in faults[:_MAX_FAULTS]
        ]
        message = "; ".join(f"{field['pointer']}: {field['detail']}" for field in fields[:3])
        refusal = GatewayError(ErrorCode.VALIDATION_FAILED, message, errors=fields)
        return _answer(request, refusal)

    async def _no_route(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        path, method = request.url.path, request.method
        match error.status_code:
            case 404:
                refusal = GatewayError(ErrorCode.NOT_FOUND, f"there is no {path}")
            case 405:
                # In a thread: the first time, the document is built.
                methods = await anyio.to_thread.run_sync(self._app.methods_of, path)
                refusal = GatewayError(
                    ErrorCode.METHOD_NOT_ALLOWED,
                    f"{path} does not take {method}",
                    allowed=methods or ("GET", "HEAD"),
                )
            case _:
                refusal = GatewayError(ErrorCode.INVALID_REQUEST, str(error.detail))
        return _answer(request, refusal)

    async def _disconnected(self, request: Request, _: Exception) -> Response:
        message = "the client disconnected before the body was complete"  # no one reads it
        return _answer(request, GatewayError(ErrorCode.INVALID_REQUEST, message))

    async def _unforeseen(self, _: Request, error: Exception) -> Response:
        raise error  # to the shell, which answers in JSON: Starlette's own is a line of text


def _answer(request: Request, error: GatewayError) -> Response:
    status, headers, body = problem(error, request.scope["state"]["request_id"])
    sent = {name.decode(): value.decode() for name, value in headers}
    return Response(body, status_code=status, headers=sent)


def _is_json(media: str) -> bool:
    return media == "application/json" or media.endswith("+json")


# Any: pydantic's own
def _concerns_whole_body(fault: dict[str, object]) -> bool:
    """Whether a body came that was not even read as JSON, or one that is no object."""
    return fault["loc"] == ("body",) and fault["type"] != "missing"


def _not_json(error: RequestValidationError) -> str:
    """Return what is wrong with a body that is no JSON, and in which line."""
    [fault] = error.errors()
    found = JSONDecodeError(fault["ctx"]["error"], error.body, fault["loc"][1])
    return f"the body is not JSON: {found}"


def _excerpt(given: object) -> str:
    """Return the beginning of the input. Keys are redacted before it is cut, so no part remains."""
    return redact_message(str(given)[: 2 * _EXCERPT])[:_EXCERPT]
