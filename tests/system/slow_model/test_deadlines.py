"""Timeouts set by a header, a parameter, a gRPC deadline or the deployment."""

from __future__ import annotations

import math

import grpc
import httpx
import numpy as np
import pytest

from protos.methods import method_path
from protos.status import PUSHBACK_KEY
from tests.inference_server.requests import infer_request
from tests.system.installation import Json, chain
from tests.system.slow_model.slow_server import MODEL, RUN_SECONDS, SlowServer
from tests.timing import Timer

SHORT, LONGER = 0.05, 0.8
QUEUED = 6
"""Calls that keep the model busy for longer than a second."""


def v2_infer(
    slow: SlowServer, microseconds: int, headers: dict[str, str] | None = None
) -> httpx.Response:
    """Call the model under /v2."""
    tensor = {"name": "x", "datatype": "FP32", "shape": [2], "data": [1, 2]}
    body: Json = {"parameters": {"timeout": microseconds}, "inputs": [tensor]}
    return slow.installation.http.post(f"/v2/models/{MODEL}/infer", json=body, headers=headers)


def grpc_code(slow: SlowServer, timeout: float) -> tuple[grpc.StatusCode, bool]:
    """Call the model over gRPC; return the status and whether it says when to retry."""
    request = infer_request(MODEL, {"x": ("FP32", np.zeros(2, "f4"))}).SerializeToString()
    with grpc.insecure_channel(f"127.0.0.1:{slow.installation.up.grpc_port}") as channel:
        infer = channel.unary_unary(method_path("ModelInfer"))
        metadata = (("x-api-key", slow.installation.key),)
        call = infer.future(request, timeout=timeout, metadata=metadata)
        code: grpc.StatusCode = call.code()
        return code, PUSHBACK_KEY in dict(call.trailing_metadata())


def check_too_late(answer: httpx.Response, took: float) -> None:
    """Assert that a call timed out, and when."""
    assert (answer.status_code, answer.json()["code"]) == (504, "deadline_exceeded"), answer.text
    assert answer.json()["retryable"] is True
    assert took < RUN_SECONDS, "the caller did not wait for the run"


def check_overloaded(answer: httpx.Response) -> None:
    """Assert that a call is refused with a time to retry."""
    assert (answer.status_code, answer.json()["code"]) == (429, "overloaded"), answer.text
    assert answer.json()["retryable"] is True
    assert 1 <= int(answer.headers["retry-after"]) < 60


def test_a_call_beyond_its_header_timeout_is_aborted(slow: SlowServer) -> None:
    slow.settle()
    timer = Timer()
    answer = slow.trigger(str(SHORT))
    check_too_late(answer, timer.seconds)
    assert slow.trigger("20").status_code == 200


def test_a_call_that_would_time_out_in_the_queue_is_refused_and_never_runs(
    slow: SlowServer,
) -> None:
    before = slow.counts()
    with slow.busy(QUEUED):
        for _ in range(5):
            check_overloaded(slow.trigger(str(SHORT)))
    counted = slow.counts().since(before)
    assert counted.by_code == {"ok": QUEUED, "overloaded": 5}
    assert counted.runs == QUEUED


@pytest.mark.parametrize("text", ["soon", "0", "-1", "nan", "inf", "1e999", "", "0x1", "1,5", "1s"])
def test_an_invalid_timeout_header_is_refused(slow: SlowServer, text: str) -> None:
    answer = slow.trigger(text)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert f"got '{text}'" in answer.json()["message"]


@pytest.mark.long
def test_a_deployment_limits_the_duration_of_its_calls(slow: SlowServer) -> None:
    seconds = 2 + math.ceil(3 * slow.settle())
    hurried = slow.installation.deploy(chain(MODEL), timeout_seconds=seconds)
    assert slow.trigger(deployment=hurried).status_code == 200
    before = slow.counts()
    queued = 2 * math.ceil(seconds / RUN_SECONDS)
    with slow.busy(queued):
        check_overloaded(slow.trigger(deployment=hurried))
        check_overloaded(slow.trigger("100", deployment=hurried))
    assert slow.counts().since(before).runs == queued


@pytest.mark.long
def test_a_v2_call_sets_its_timeout_in_microseconds(slow: SlowServer) -> None:
    slow.settle()
    timer = Timer()
    late = v2_infer(slow, round(SHORT * 1e6))
    assert late.status_code == 504, late.text
    assert timer.seconds < RUN_SECONDS
    assert v2_infer(slow, 20_000_000).status_code == 200
    before = slow.counts()
    with slow.busy(QUEUED):
        refused = v2_infer(slow, round(SHORT * 1e6))
        assert refused.status_code == 429, refused.text
        assert int(refused.headers["retry-after"]) >= 1
    assert slow.counts().since(before).by_code == {"ok": QUEUED, "overloaded": 1}


def test_a_v2_call_sets_its_timeout_by_the_header_too(slow: SlowServer) -> None:
    slow.settle()
    late = v2_infer(slow, 20_000_000, {"X-Request-Timeout": str(SHORT)})
    assert late.status_code == 504, late.text
    invalid = v2_infer(slow, 20_000_000, {"X-Request-Timeout": "soon"})
    assert invalid.status_code == 400
    assert "X-Request-Timeout" in invalid.json()["error"]
    assert v2_infer(slow, 20_000_000).status_code == 200  # the late run has ended


def test_a_grpc_deadline_reaches_the_inference_server(slow: SlowServer) -> None:
    slow.settle()
    assert grpc_code(slow, SHORT)[0] is grpc.StatusCode.DEADLINE_EXCEEDED
    assert grpc_code(slow, 20)[0] is grpc.StatusCode.OK
    before = slow.counts()
    with slow.busy(QUEUED):
        assert grpc_code(slow, LONGER) == (grpc.StatusCode.RESOURCE_EXHAUSTED, True)
        for _ in range(3):
            code, _ = grpc_code(slow, SHORT)
            late = grpc.StatusCode.DEADLINE_EXCEEDED  # the client may time out first
            assert code in (grpc.StatusCode.RESOURCE_EXHAUSTED, late)
    assert slow.counts().since(before).runs == QUEUED
