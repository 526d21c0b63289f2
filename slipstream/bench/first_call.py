"""The call before the load: whether it works at all, and what to do where it does not."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Mapping

import orjson

from slipstream.bench.tally import code_of
from slipstream.bench.target import Target
from slipstream.failures import RefusedError
from slipstream.readiness import gateway_connection

_PATIENCE_SECONDS = 60.0
_SUCCESS = 2

_HINTS: Mapping[int, str] = {
    400: "the body is what --data says, as in `curl -d`",
    401: "give a key with --key or SLIPSTREAM_API_KEY; `slipstream keys create` makes one",
    403: "give another key with --key or SLIPSTREAM_API_KEY",
    404: "`slipstream deployments list` and `slipstream models list` say what there is",
    405: "bench sends POST: give the URL of a trigger or of /v2/models/NAME/infer",
    409: "`slipstream models serve NAME` starts an inference server",
    422: "the body is what --data says, as in `curl -d`",
    503: "try again when it is ready; `slipstream doctor` says what is wrong",
}


def check(target: Target) -> None:
    """Make one call.

    Raises:
        RefusedError: it was not answered with a 2xx status.
    """
    connection = _connection(target)
    try:
        connection.request("POST", target.path, target.body, target.headers)
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise _no_answer(target, error) from None
    finally:
        connection.close()
    if answer.status // 100 != _SUCCESS:
        raise _refused(answer.status, body)


def _connection(target: Target) -> http.client.HTTPConnection:
    if target.tls and target.certificate is None:
        return http.client.HTTPSConnection(target.host, target.port, timeout=_PATIENCE_SECONDS)
    return gateway_connection(
        target.host, target.port, target.certificate, timeout=_PATIENCE_SECONDS
    )


def _no_answer(target: Target, error: Exception) -> RefusedError:
    where = f"{target.host}:{target.port}"
    if isinstance(error, TimeoutError):
        message = f"{where} did not answer the first call within {_PATIENCE_SECONDS:.0f} s"
        return RefusedError("no_answer", message)
    if isinstance(error, ConnectionRefusedError | socket.gaierror):
        message = f"{where} cannot be reached ({error.strerror}): start it with `slipstream up`"
        return RefusedError("unreachable", f"{message}, or give the URL of one that runs")
    return RefusedError("no_answer", f"the first call to {where} broke: {error!r}")


def _refused(status: int, body: bytes) -> RefusedError:
    code = code_of(body) or f"http_{status}"
    said = f"{status} {code}" if code_of(body) else f"{status}"
    message = f"the first call was answered with {said}: {_message(body)}"
    hint = _HINTS.get(status)
    return RefusedError(code, f"{message}; {hint}" if hint else message)


def _message(body: bytes) -> str:
    """Return what an error's body says to people: a problem's `message`, or `error` of /v2."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        document = None
    if isinstance(document, dict):
        for name in ("message", "error"):
            if isinstance(document.get(name), str):
                return str(document[name])
    return body[:200].decode(errors="replace").strip() or "it has no body"
