"""One call before the load, which checks the target and explains failures."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Mapping

import orjson

from slipstream.bench.samples import error_code
from slipstream.bench.target import BenchTarget
from slipstream.failures import RefusedError
from slipstream.readiness import gateway_connection

_TIMEOUT_SECONDS = 60.0
_SUCCESS = 2

_HINTS: Mapping[int, str] = {
    400: "check --data: it is sent as the body, as in `curl -d`",
    401: "give a key with --key or SLIPSTREAM_API_KEY; `slipstream keys create` makes one",
    403: "give another key with --key or SLIPSTREAM_API_KEY",
    404: "see `slipstream deployments list` and `slipstream models list`",
    405: "bench sends POST: give the URL of a deployment or of /v2/models/NAME/infer",
    409: "`slipstream models serve NAME` starts an inference server",
    422: "check --data: it is sent as the body, as in `curl -d`",
    503: "try again when it is ready; `slipstream doctor` diagnoses the installation",
}


def check(target: BenchTarget) -> None:
    """Make one call.

    Raises:
        RefusedError: the response is not 2xx, or there is none.
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


def _connection(target: BenchTarget) -> http.client.HTTPConnection:
    if target.tls and target.certificate is None:
        return http.client.HTTPSConnection(target.host, target.port, timeout=_TIMEOUT_SECONDS)
    return gateway_connection(
        target.host, target.port, target.certificate, timeout=_TIMEOUT_SECONDS
    )


def _no_answer(target: BenchTarget, error: Exception) -> RefusedError:
    where = f"{target.host}:{target.port}"
    if isinstance(error, TimeoutError):
        message = f"{where} did not answer the first call within {_TIMEOUT_SECONDS:.0f} s"
        return RefusedError("no_answer", message)
    if isinstance(error, ConnectionRefusedError | socket.gaierror):
        message = f"{where} cannot be reached ({error.strerror}): start it with `slipstream up`"
        return RefusedError("unreachable", f"{message}, or give another URL")
    return RefusedError("no_answer", f"the first call to {where} failed: {error!r}")


def _refused(status: int, body: bytes) -> RefusedError:
    code = error_code(body) or f"http_{status}"
    shown = f"{status} {code}" if error_code(body) else f"{status}"
    message = f"the first call failed with {shown}: {_message(body)}"
    hint = _HINTS.get(status)
    return RefusedError(code, f"{message}; {hint}" if hint else message)


def _message(body: bytes) -> str:
    """Return the text in an error body: a problem's `message`, or `error` under /v2."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        document = None
    if isinstance(document, dict):
        for name in ("message", "error"):
            if isinstance(document.get(name), str):
                return str(document[name])
    return body[:200].decode(errors="replace").strip() or "the response has no body"
