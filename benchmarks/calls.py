"""HTTP calls: how each server wants its input, and where the output is in its answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from benchmarks.models import INPUT, OUTPUT, OnnxModel, WrongAnswerError

_JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpCall:
    """A request that is repeated, and the check of its answer."""

    path: str
    body: bytes
    headers: Mapping[str, str]
    check: Callable[[bytes], None]
    """Raises WrongAnswerError."""
    method: str = "POST"

    def to_bytes(self, port: int) -> bytes:
        """Return the request for a keep-alive connection to `port` of this machine."""
        headers = {**self.headers, "Host": f"127.0.0.1:{port}"}
        if self.body:
            headers["Content-Length"] = str(len(self.body))
        lines = [f"{self.method} {self.path} HTTP/1.1", *(f"{n}: {v}" for n, v in headers.items())]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + self.body


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonFormat:
    """The JSON of requests and responses. Any: documents of any kind."""

    request: Callable[[np.ndarray], Any]
    response: Callable[[Any], Any]
    """Returns the output."""


ROWS = JsonFormat(request=lambda x: {"inputs": x}, response=lambda body: body["outputs"])
BARE_ARRAY = JsonFormat(request=ROWS.request, response=lambda body: body)
FLOW = JsonFormat(
    request=lambda x: {"input_data": {INPUT: x}},
    response=lambda body: body["output_data"][OUTPUT],
)
V2 = JsonFormat(
    request=lambda x: {"inputs": [_v2_tensor(x) | {"data": x.ravel()}]},
    response=lambda body: body["outputs"][0]["data"],
)
V2_NESTED = JsonFormat(
    request=lambda x: {"inputs": [_v2_tensor(x) | {"data": x}]}, response=V2.response
)


def json_call(
    form: JsonFormat, model: OnnxModel, path: str, headers: Mapping[str, str] | None = None
) -> HttpCall:
    """Return the call that asks for the model's output."""

    def check(content: bytes) -> None:
        try:
            output = form.response(orjson.loads(content))
        except (orjson.JSONDecodeError, LookupError, TypeError):
            raise WrongAnswerError(f"no output in {content[:300]!r}") from None
        model.check(output)

    body = _to_json(form.request(model.inputs))
    return HttpCall(path=path, body=body, headers={**_JSON, **(headers or {})}, check=check)


def echo_call(model: OnnxModel, path: str) -> HttpCall:
    """Return the call of a server that answers with the request's body."""
    body = _to_json(ROWS.request(model.inputs))

    def check(content: bytes) -> None:
        if content != body:
            raise WrongAnswerError(f"expected {body!r}, got {content[:300]!r}")

    return HttpCall(path=path, body=body, headers=_JSON, check=check)


def v2_binary_call(model: OnnxModel, path: str, headers: Mapping[str, str]) -> HttpCall:
    """Return the call of /v2 whose tensors follow the JSON as bytes, in both directions."""
    raw = model.inputs.tobytes()
    tensor = _v2_tensor(model.inputs) | {"parameters": {"binary_data_size": len(raw)}}
    head = _to_json({"inputs": [tensor], "parameters": {"binary_data_output": True}})
    length = {"Inference-Header-Content-Length": str(len(head))}

    def check(content: bytes) -> None:
        model.check(np.frombuffer(content[-model.expected.nbytes :], np.float32))

    return HttpCall(path=path, body=head + raw, headers={**headers, **length}, check=check)


def bytes_call(model: OnnxModel, path: str) -> HttpCall:
    """Return the call whose body is nothing but the input's bytes, as is the answer's."""

    def check(content: bytes) -> None:
        model.check(np.frombuffer(content, np.float32))

    return HttpCall(path=path, body=model.inputs.tobytes(), headers={}, check=check)


def get_call(path: str, headers: Mapping[str, str]) -> HttpCall:
    """Return a GET request whose answer is not checked."""
    return HttpCall(path=path, body=b"", headers=headers, check=lambda _: None, method="GET")


def _v2_tensor(values: np.ndarray) -> dict[str, Any]:
    return {"name": INPUT, "datatype": "FP32", "shape": list(values.shape)}


def _to_json(document: Any) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
