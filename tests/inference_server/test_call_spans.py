"""Spans of sampled calls, and what a collector that does not take them costs."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from inference_server.data_plane.call_spans import CallSpans
from protos.parameters import TRACEPARENT
from telemetry.instruments import Counter
from telemetry.trace_context import continued
from telemetry.traces import Tracer
from tests import onnx_models
from tests.inference_server.conftest import Connect, StartServer
from tests.inference_server.process import InferenceProcess
from tests.inference_server.requests import fp32, infer_request
from tests.inference_server.test_executor import ExecutorSetup, loaded
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


async def test_a_collector_that_refuses_or_hangs_costs_spans_only(
    start_server: StartServer, connect: Connect
) -> None:
    with collecting() as collector:
        collector.status = 400
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
