"""Spans of sampled calls, and what a collector that does not take them costs."""

from __future__ import annotations

import asyncio
import time
from itertools import repeat
from pathlib import Path

import numpy as np
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from inference_server.data_plane.call_spans import CallSpans
from protos.parameters import TRACEPARENT, encoded_trace
from telemetry.instruments import Counter
from telemetry.trace_context import continued
from telemetry.traces import Tracer
from tests import onnx_models
from tests.inference_server.conftest import Connect, StartServer
from tests.inference_server.process import InferenceProcess
from tests.inference_server.requests import fp32, infer_request
from tests.inference_server.test_executor import CallResult, ExecutorSetup, FutureResponder, loaded
from tests.inference_server.test_owners import Served
from tests.timing import TIMEOUT_SECONDS, pause
from tests.trace_collector import collecting

CALLERS = [f"00-{digit}af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" for digit in (1, 2)]
SPANS = 4
"""Of one call."""


async def test_the_batches_of_calls_that_share_a_run_are_linked(tmp_path: Path) -> None:
    with collecting() as collector:
        tracer = Tracer(collector.url, service="test", dropped=Counter())
        setup = ExecutorSetup(loaded(onnx_models.mlp, tmp_path), spans=CallSpans(tracer))
        answers = []
        for caller in (*CALLERS, None):
            answers.append(setup.submit("y", x=np.ones((1, 4), "f4")))
            setup.calls[-1].trace = continued(caller)
        for answer in answers:
            await answer
        await tracer.close()
        assert len(collector.spans()) == SPANS * len(CALLERS)
        first, second = [span for span in collector.spans() if span.name == "batch"]
    assert first.trace_id != second.trace_id
    assert [link.span_id for link in first.links] == [second.span_id]
    assert [link.trace_id for link in second.links] == [first.trace_id]
    assert {each.key: each.value.int_value for each in first.attributes} == {
        "slipstream.batch.calls": 3,
        "slipstream.batch.rows": 3,
    }


@pytest.mark.parametrize("first_is_traced", [True, False])
async def test_a_traced_call_is_recognised_as_others_are(
    tmp_path: Path, *, first_is_traced: bool
) -> None:
    with collecting() as collector:
        tracer = Tracer(collector.url, service="test", dropped=Counter())
        model = Served(tmp_path, by_owner=False, spans=CallSpans(tracer)).model
        request = infer_request("model", {"x": fp32((1, 1))}, call_id="12345678")
        plain = request.SerializeToString()
        traced = plain + encoded_trace({"traceparent": CALLERS[0]})
        state = plain + encoded_trace({"traceparent": CALLERS[1], "tracestate": "a=b"})
        calls = []
        for message in (traced if first_is_traced else plain, traced, plain, state):
            responder = FutureResponder()
            calls.append(model.submit(message, responder, time.perf_counter()))
            model.flush()
            assert isinstance(await responder.outcome, CallResult)
            await asyncio.sleep(0)  # spans are recorded after the response
        await tracer.close()
        model.close()
        spans = collector.spans()
    # those that were recognised keep their message, and were not parsed
    assert [call and call.message for call in calls] == [b"", plain, plain, b""]
    served = [span for span in spans if span.kind == Span.SPAN_KIND_SERVER]
    traces = [CALLERS[0]] * (1 + first_is_traced) + [CALLERS[1]]
    assert [f"00-{span.trace_id.hex()}-{span.parent_span_id.hex()}-01" for span in served] == traces
    assert [span.trace_state for span in served] == [""] * (1 + first_is_traced) + ["a=b"]


async def test_elements_that_look_like_a_trace_are_elements(tmp_path: Path) -> None:
    with collecting() as collector:
        tracer = Tracer(collector.url, service="test", dropped=Counter())
        model = Served(tmp_path, by_owner=False, spans=CallSpans(tracer)).model
        looks = encoded_trace({"traceparent": CALLERS[0]})
        given = np.frombuffer(b"\0" * (-len(looks) % 8) + looks, "f4").reshape(-1, 2)
        request = infer_request("model", {"x": ("FP32", given)}, call_id="12345678")
        for _ in range(2):
            responder = FutureResponder()
            model.submit(request.SerializeToString(), responder, time.perf_counter())
            model.flush()
            outcome = await responder.outcome
            assert isinstance(outcome, CallResult)
            assert outcome.arrays[0].shape == given.shape
            await asyncio.sleep(0)
        await tracer.close()
        model.close()
        assert collector.spans() == []


async def test_a_collector_that_refuses_or_hangs_costs_spans_only(
    start_server: StartServer, connect: Connect
) -> None:
    with collecting() as collector:
        collector.statuses = repeat(400)
        server = start_server("mlp", "--trace-endpoint", collector.url)
        stub = connect(server)
        request = infer_request("mlp", {"x": fp32([1, 2, 3, 4])})
        await stub.ModelInfer(request)  # of no trace
        request.parameters[TRACEPARENT].string_param = CALLERS[0]
        await stub.ModelInfer(request)
        _until_dropped(server, SPANS)
        collector.asked.clear()
        collector.answers.clear()
        await stub.ModelInfer(request)
        assert collector.asked.wait(TIMEOUT_SECONDS)
        await stub.ModelInfer(request)
        server.terminate()
        assert server.ended() == 0


def test_a_collector_that_is_no_url_is_refused(start_server: StartServer) -> None:
    with pytest.raises(AssertionError, match="the URL of an OTLP/HTTP collector"):
        start_server("mlp", "--trace-endpoint", "localhost:4318")


def _until_dropped(server: InferenceProcess, spans: int) -> None:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while (dropped := server.sample("trace_spans_dropped_total")) != spans:
        assert time.monotonic() < deadline, dropped
        pause(0.05)
