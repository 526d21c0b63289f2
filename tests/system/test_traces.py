"""The spans of calls and runs, as a collector gets them from real processes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests import onnx_models
from tests.gateway.webhooks.receiver import Receiver
from tests.slipstream.running import Up
from tests.system.flow_documents import transform_flow
from tests.system.installation import Installation, chain
from tests.system.runs import Runs
from tests.timing import TIMEOUT_SECONDS, pause
from tests.trace_collector import TraceCollector, collecting

CANARY = 918273645
CALL = "POST /node/deployment-trigger/{deployment_id}/"


@pytest.fixture(scope="module")
def collector() -> Iterator[TraceCollector]:
    """A collector of traces."""
    with collecting() as made:
        yield made


@pytest.fixture(scope="module")
def runs(collector: TraceCollector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """An installation that sends traces."""
    up = Up(
        tmp_path_factory.mktemp("traces") / "state",
        SLIPSTREAM_TRACE_ENDPOINT=collector.url,
        SLIPSTREAM_TRACE_SAMPLE_RATE="0",
        SLIPSTREAM_WEBHOOK_ALLOW="127.0.0.0/8",
        SLIPSTREAM_WEBHOOK_ALLOW_HTTP="1",
    )
    up.until("documentation")
    installation = Installation(up)
    yield Runs(installation)
    installation.stop()


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    """A process that is sent webhooks."""
    made = Receiver(tmp_path_factory.mktemp("receiver"))
    yield made
    made.close()


def spans_of(collector: TraceCollector, trace_id: str, count: int) -> list[Span]:
    """Wait until a trace has `count` spans; return them."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while len(found := collector.spans(trace_id)) < count:
        assert time.monotonic() < deadline, [span.name for span in found]
        pause(0.05)
    return found


def test_an_async_run_of_a_worker_is_one_trace(
    runs: Runs, collector: TraceCollector, receiver: Receiver
) -> None:
    deployment = runs.deploy(
        transform_flow(),
        "async",
        "api",
        notification_method="webhook",
        callback_url=receiver.url("ok"),
        webhook_events=["run.completed"],
    )
    trace_id, caller = "5af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    headers = {"traceparent": f"00-{trace_id}-{caller}-01"}
    answer = runs.call(deployment, {"x": CANARY}, headers)
    assert answer.status_code == 202, answer.text
    spans = spans_of(collector, trace_id, 7)
    assert sorted(span.name for span in spans) == sorted(
        [
            CALL,
            "queue",
            "run",
            "node api_input",
            "node transform",
            "node api_output",
            "POST webhook",
        ]
    )
    by_name = {span.name: span for span in spans}
    call, run = by_name[CALL], by_name["run"]
    assert call.parent_span_id.hex() == caller
    assert call.kind == Span.SPAN_KIND_SERVER
    assert {by_name["queue"].parent_span_id, run.parent_span_id} == {call.span_id}
    (message,) = receiver.messages()
    delivery = by_name["POST webhook"]
    assert delivery.parent_span_id == call.span_id
    assert message.headers["traceparent"] == f"00-{trace_id}-{delivery.span_id.hex()}-01"
    nodes = [span for span in spans if span.name.startswith("node ")]
    assert {span.parent_span_id for span in nodes} == {run.span_id}
    assert len({span.span_id for span in spans}) == len(spans)
    received = b"".join(collector.bodies)
    assert str(CANARY).encode() not in received
    assert str(2 * CANARY).encode() not in received
    assert runs.installation.key.encode() not in received


def test_a_fast_call_has_its_stages_and_an_unsampled_one_nothing(
    runs: Runs, collector: TraceCollector, tmp_path: Path
) -> None:
    installation = runs.installation
    installation.add_model("mlp", onnx_models.mlp(tmp_path / "mlp.onnx"))
    installation.serve("mlp")
    deployment = installation.deploy(chain("mlp"))
    body = {"input_data": {"x": [[1, 2, 3, 4]]}}
    trace_id = "6af7651916cd43dd8448eb211c80319c"
    for headers in ({}, {"traceparent": f"00-{trace_id}-b7ad6b7169203331-01"}):
        answer = installation.trigger(deployment, json=body, headers=headers)
        assert answer.is_success, answer.text
    spans = spans_of(collector, trace_id, 6)
    names = {span.name for span in spans}
    assert names == {CALL, "auth", "parse", "queue", "infer", "serialise"}
    call = next(span for span in spans if span.name == CALL)
    assert {span.parent_span_id for span in spans if span is not call} == {call.span_id}
    assert len([span for span in collector.spans() if span.name == "infer"]) == 1


def test_an_unauthenticated_client_does_not_decide_what_is_traced(
    runs: Runs, collector: TraceCollector
) -> None:
    deployment = runs.deploy(transform_flow(), "sync", "server")
    refused, admitted = (f"{digit}af7651916cd43dd8448eb211c80319c" for digit in (7, 8))
    for trace_id, headers in ((refused, {"X-API-Key": "sk-unknown"}), (admitted, {})):
        headers["traceparent"] = f"00-{trace_id}-b7ad6b7169203331-01"
        runs.call(deployment, {"x": 1}, headers)
    spans_of(collector, admitted, 6)
    assert collector.spans(refused) == []
