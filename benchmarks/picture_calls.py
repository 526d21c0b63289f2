"""Calls that ask for a model's output over a large tensor, in every form that carries one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import orjson

from benchmarks.forms import Call
from benchmarks.model import WrongAnswerError
from benchmarks.pictures import INPUT, OUTPUT

_TOLERANCE = 1e-3

Headers = Mapping[str, str]


def rows_call(path: str, numbers: np.ndarray, expected: np.ndarray) -> Call:
    """Return the call of the baselines, nested JSON."""
    question = {"inputs": numbers}
    return _json_call(path, question, expected, {}, lambda said: said["outputs"])


def flow_call(path: str, numbers: np.ndarray, expected: np.ndarray, headers: Headers) -> Call:
    """Return the call of a deployment, nested JSON."""
    question = {"input_data": {INPUT: numbers}}
    return _json_call(path, question, expected, headers, lambda said: said["output_data"][OUTPUT])


def v2_json_call(path: str, numbers: np.ndarray, expected: np.ndarray, headers: Headers) -> Call:
    """Return the call of /v2 with the numbers in JSON, nested."""
    question = {"inputs": [_tensor(numbers) | {"data": numbers}]}
    return _json_call(path, question, expected, headers, lambda said: said["outputs"][0]["data"])


def v2_binary_call(path: str, numbers: np.ndarray, expected: np.ndarray, headers: Headers) -> Call:
    """Return the call of /v2 with the numbers as bytes behind the JSON, as is its answer."""
    raw = numbers.tobytes()
    tensor = _tensor(numbers) | {"parameters": {"binary_data_size": len(raw)}}
    head = _dumped({"inputs": [tensor], "parameters": {"binary_data_output": True}})
    length = {"Inference-Header-Content-Length": str(len(head))}

    def check(content: bytes) -> None:
        _compare(np.frombuffer(content[-expected.nbytes :], expected.dtype), expected)

    return Call(path=path, body=head + raw, headers={**headers, **length}, check=check)


def _json_call(
    path: str,
    question: Mapping[str, Any],
    expected: np.ndarray,
    headers: Headers,
    output: Callable[[Any], Any],
) -> Call:
    def check(content: bytes) -> None:
        try:
            found = output(orjson.loads(content))
        except (orjson.JSONDecodeError, LookupError, TypeError):
            raise WrongAnswerError(f"no output in {content[:300]!r}") from None
        _compare(np.asarray(found, expected.dtype), expected)

    kind = {"Content-Type": "application/json"}
    return Call(path=path, body=_dumped(question), headers={**kind, **headers}, check=check)


def _tensor(numbers: np.ndarray) -> dict[str, Any]:
    return {"name": INPUT, "datatype": "FP32", "shape": list(numbers.shape)}


def _dumped(document: Mapping[str, Any]) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)


def _compare(found: np.ndarray, expected: np.ndarray) -> None:
    if found.size != expected.size or not np.allclose(
        found.ravel(), expected.ravel(), rtol=_TOLERANCE, atol=_TOLERANCE
    ):
        raise WrongAnswerError(f"expected {expected.ravel()[:5]}, got {found.ravel()[:5]}")
