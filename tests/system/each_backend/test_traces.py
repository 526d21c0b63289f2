"""The spans of calls and runs, as a collector gets them from real processes."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
import tritonclient.grpc as triton_grpc
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from prometheus_client.samples import Exemplar

from tests import onnx_models
from tests.gateway.webhooks.receiver import Receiver
from tests.metrics_text import open_metrics
from tests.system.backends import Backend
from tests.system.flow_documents import linear_flow, node, transform_flow
from tests.system.installation import Installation, chain
from tests.system.runs import Runs
from tests.timing import eventually
from tests.trace_collector import TraceCollector

CANARY = 918273645
CALL = "POST /node/deployment-trigger/{deployment_id}/"
HOP = "inference.GRPCInferenceService/ModelStreamInfer"
SERVED = ["batch", "infer", "queue"]
"""What an inference server has, below the span of the call that it serves."""
GATEWAY, WORKER, SERVER = "slipstream-gateway", "slipstream-worker", "slipstream-inference-server"
CALLER, STATE = "b7ad6b7169203331", "vendor=18@a, other=x"


@pytest.fixture(scope="module")
def traced(backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model that is served for the tests of this file."""
    path = onnx_models.mlp(tmp_path_factory.mktemp("models") / "traced.onnx")
    backend.installation.add_model("traced", path)
    backend.installation.serve("traced")
    return "traced"


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    """A process that is sent webhooks."""
    made = Receiver(tmp_path_factory.mktemp("receiver"))
    yield made
    made.close()


def new_trace() -> str:
    """Return the id of a trace: all installations that these tests use have one collector."""
    return secrets.token_hex(16)


def headers_of(trace_id: str) -> dict[str, str]:
    """Return the headers of a caller who has its calls traced."""
    return {"traceparent": f"00-{trace_id}-{CALLER}-01", "tracestate": STATE}


def spans_of(collector: TraceCollector, trace_id: str, count: int) -> list[Span]:
    """Wait until a trace has `count` spans; return them. All but the caller's are there."""
    found = eventually(lambda: collector.spans(trace_id), lambda spans: len(spans) >= count)
    ids = [span.span_id.hex() for span in found]
    assert len(set(ids)) == len(ids) == count, sorted(span.name for span in found)
    assert {span.parent_span_id.hex() for span in found} <= {CALLER, *ids}
    assert {span.trace_state for span in found} == {STATE}
    return found


def below(parent: Span, spans: Sequence[Span]) -> list[str]:
    """Return the names of the spans that are below another, at any depth."""
    children = [span for span in spans if span.parent_span_id == parent.span_id]
    deeper = [name for child in children for name in below(child, spans)]
    return sorted([*(child.name for child in children), *deeper])


def the(name: str, spans: Sequence[Span], kind: int = Span.SPAN_KIND_INTERNAL) -> Span:
    """Return the only span of a name and kind."""
    (found,) = [span for span in spans if (span.name, span.kind) == (name, kind)]
    return found


def exemplars(installation: Installation, name: str, **labels: str) -> list[Exemplar]:
    """Return those of a histogram's series with these labels."""
    accept = {"Accept": "application/openmetrics-text"}
    lines = installation.http.get("/metrics", headers=accept).text.splitlines(keepends=True)
    # to parse all of them strictly takes long
    text = "".join(line for line in lines if name in line or line.startswith("# EOF"))
    return [
        sample.exemplar
        for family in open_metrics(text)
        for sample in family.samples
        if family.name == name and sample.exemplar and labels.items() <= sample.labels.items()
    ]


def test_an_async_run_of_a_worker_is_one_trace(
    runs: Runs, collector: TraceCollector, receiver: Receiver, traced: str
) -> None:
    trace_id = new_trace()
    flow = linear_flow(
        "Predicting and telling",
        node("input", "api_input"),
        node("model", "inference", model=traced),
        node("tell", "http_request", method="POST", url=receiver.url(f"node/{trace_id}")),
        node("output", "api_output", fields={"y": "model.y"}),
    )
    deployment = runs.deploy(
        flow,
        "async",
        "api",
        notification_method="webhook",
        callback_url=receiver.url(f"webhook/{trace_id}"),
        webhook_events=["run.completed"],
    )
    answer = runs.call(deployment, {"x": [[CANARY, 2, 3, 4]]}, headers_of(trace_id))
    assert answer.status_code == 202, answer.text
    spans = spans_of(collector, trace_id, 12)
    call = the(CALL, spans, Span.SPAN_KIND_SERVER)
    run, model = the("run", spans), the("node inference", spans, Span.SPAN_KIND_CLIENT)
    tell = the("node http_request", spans, Span.SPAN_KIND_CLIENT)
    delivery = the("POST webhook", spans, Span.SPAN_KIND_CLIENT)
    served = the(HOP, spans, Span.SPAN_KIND_SERVER)
    assert call.parent_span_id.hex() == CALLER
    assert {run.parent_span_id, delivery.parent_span_id} == {call.span_id}
    assert {model.parent_span_id, tell.parent_span_id} == {run.span_id}
    assert served.parent_span_id == model.span_id
    assert below(served, spans) == SERVED
    assert below(call, spans).count("queue") == 2, "the run's and the inference server's"
    services = {span.name: collector.resource_of(span)["service.name"] for span in spans}
    assert services[CALL] == services["POST webhook"] == GATEWAY
    assert services["run"] == services["node inference"] == WORKER
    assert services[HOP] == services["infer"] == services["batch"] == SERVER
    process = collector.resource_of(served)
    assert process["slipstream.model.name"] == traced
    assert process["slipstream.model.version"] == "1"
    assert process["service.instance.id"] != collector.resource_of(call)["service.instance.id"]
    for path, sender in (("node", tell), ("webhook", delivery)):
        (message,) = receiver.messages(f"{path}/{trace_id}")
        assert message.headers["traceparent"] == f"00-{trace_id}-{sender.span_id.hex()}-01"
        assert message.headers["tracestate"] == STATE
    (exemplar,) = eventually(
        lambda: exemplars(runs.installation, "run_seconds", deployment=deployment), bool
    )
    assert exemplar.labels == {"trace_id": trace_id}
    received = b"".join(collector.bodies)
    assert str(CANARY).encode() not in received
    assert runs.installation.key.encode() not in received


def test_a_fast_call_and_a_batch_go_down_to_the_inference_server(
    runs: Runs, collector: TraceCollector, traced: str
) -> None:
    installation = runs.installation
    deployment = installation.deploy(chain(traced))
    body = {"input_data": {"x": [[1, 2, 3, 4]]}}
    trace_id = new_trace()
    for headers in ({}, headers_of(trace_id)):
        answer = installation.trigger(deployment, json=body, headers=headers)
        assert answer.is_success, answer.text
    spans = spans_of(collector, trace_id, 9)
    call, hop = the(CALL, spans, Span.SPAN_KIND_SERVER), the(HOP, spans, Span.SPAN_KIND_CLIENT)
    assert below(hop, spans) == sorted([HOP, *SERVED])
    assert below(call, spans) == sorted(["auth", "parse", HOP, HOP, *SERVED, "serialise"])
    assert len(collector.spans()) == len([span for span in collector.spans() if span.trace_state])
    seconds = (call.end_time_unix_nano - call.start_time_unix_nano) / 1e9
    (exemplar,) = exemplars(installation, "gateway_request_seconds", deployment=deployment)
    assert exemplar.labels == {"trace_id": trace_id}
    assert exemplar.value == pytest.approx(seconds, abs=1e-5)
    batch_id = new_trace()
    items = {"input_data": [body["input_data"], body["input_data"]]}
    answer = installation.http.post(
        f"/node/deployment-trigger/{deployment}/batch/", json=items, headers=headers_of(batch_id)
    )
    assert answer.is_success, answer.text
    spans = spans_of(collector, batch_id, 11)
    call = the(CALL, spans, Span.SPAN_KIND_SERVER)
    hops = [span for span in spans if span.parent_span_id == call.span_id]
    assert [span.name for span in hops] == [HOP, HOP]
    named_id = new_trace()
    path = installation.http.get(f"/node/deployments/{deployment}/").json()["named_path"]
    assert installation.http.post(path, json=body, headers=headers_of(named_id)).is_success
    spans = spans_of(collector, named_id, 9)
    named = the("POST /v1/{owner}/{slug}", spans, Span.SPAN_KIND_SERVER)
    assert below(named, spans) == sorted(["auth", "parse", HOP, HOP, *SERVED, "serialise"])


def test_calls_of_models_over_rest_and_grpc_are_traced(
    runs: Runs, collector: TraceCollector, traced: str
) -> None:
    rest_id, grpc_id = new_trace(), new_trace()
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}
    http = runs.installation.http
    answer = http.post(
        f"/v2/models/{traced}/infer", json={"inputs": [tensor]}, headers=headers_of(rest_id)
    )
    assert answer.is_success, answer.text
    tensors = [triton_grpc.InferInput("x", [1, 4], "FP32")]
    tensors[0].set_data_from_numpy(np.ones((1, 4), "f4"))
    headers = {"x-api-key": runs.installation.key, **headers_of(grpc_id)}
    with triton_grpc.InferenceServerClient(f"127.0.0.1:{runs.installation.up.grpc_port}") as client:
        client.infer(traced, tensors, headers=headers)
    for trace_id, name in (
        (rest_id, "POST /v2/models/{model}/infer"),
        (grpc_id, "inference.GRPCInferenceService/ModelInfer"),
    ):
        spans = spans_of(collector, trace_id, 6)
        call = the(name, spans, Span.SPAN_KIND_SERVER)
        assert below(call, spans) == sorted([HOP, HOP, *SERVED])


def test_an_unauthenticated_client_does_not_decide_what_is_traced(
    runs: Runs, collector: TraceCollector
) -> None:
    deployment = runs.deploy(transform_flow(), "sync", "server")
    refused, admitted = new_trace(), new_trace()
    for trace_id, key in ((refused, {"X-API-Key": "sk-unknown"}), (admitted, {})):
        runs.call(deployment, {"x": 1}, {**headers_of(trace_id), **key})
    spans_of(collector, admitted, 6)
    assert collector.spans(refused) == []
