"""What callers send and own is in nothing that operators look at: metrics, spans and logs.

Each secret and each input contains a word of its own, which is searched for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import count, product
from pathlib import Path
from typing import Any

import httpx
import pytest
import tritonclient.grpc as triton_grpc
from tritonclient.utils import InferenceServerException

from tests.gateway.flows.installed_package import write_nodes
from tests.gateway.webhooks.receiver import Receiver
from tests.slipstream.running import LOOPBACK, Up, free_port
from tests.system.each_backend.test_webhooks import ALL
from tests.system.flow_documents import linear_flow, node, transform_flow
from tests.system.installation import Installation, Json, chain
from tests.system.one_installation.test_triton_clients import tensors
from tests.system.runs import TERMINAL, Runs
from tests.timing import eventually
from tests.trace_collector import TraceCollector, collecting

TRACE = "5af7651916cd43dd8448eb211c80319c"
TRIGGER = "/node/deployment-trigger/"


class Canaries:
    """Words that are found nowhere else, by what they stand for."""

    def __init__(self) -> None:
        self.words: dict[str, str] = {}
        self._numbers = count(10)

    def new(self, what: str) -> str:
        """Return a word for what is sent next."""
        word = f"canary{next(self._numbers)}{'qxzj' * 3}"
        self.words[word] = what
        return word

    def own(self, what: str, secret: str) -> str:
        """Search for a secret that the installation has made, too; return it.

        Masked keys show its ends.
        """
        self.words[secret[8:-8]] = what
        return secret

    def found(self, places: dict[str, str]) -> set[tuple[str, str]]:
        """Return which are found, and where."""
        return {
            (place, what)
            for place, text in places.items()
            for word, what in self.words.items()
            if word.lower() in text.lower()
        }


@pytest.fixture
def canaries() -> Canaries:
    """All that is sent and must not be seen."""
    return Canaries()


@pytest.fixture
def collector() -> Iterator[TraceCollector]:
    """A collector of traces."""
    with collecting() as made:
        yield made


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    """What webhooks and nodes of flows call."""
    made = Receiver(tmp_path)
    yield made
    made.close()


@pytest.fixture
def runs(collector: TraceCollector, canaries: Canaries, tmp_path: Path) -> Runs:
    """An installation that logs and traces as much as it can. The test stops it."""
    write_nodes(tmp_path)
    tokens = tmp_path / "tokens"
    tokens.write_text(canaries.new("token of /metrics"))
    up = Up(
        tmp_path / "state",
        PYTHONPATH=str(tmp_path),
        SLIPSTREAM_CALL_LOG="all",
        SLIPSTREAM_LOG_LEVEL="debug",
        SLIPSTREAM_METRICS_TOKEN_FILE=str(tokens),
        SLIPSTREAM_TRACE_ENDPOINT=collector.url,
        SLIPSTREAM_TRACE_SAMPLE_RATE="1",
        OTEL_EXPORTER_OTLP_HEADERS=f"authorization={canaries.new('credentials of the collector')}",
        **LOOPBACK,
    )
    up.until("documentation")
    installation = Installation(up)
    canaries.own("key of an administrator", installation.key)
    return Runs(installation)


def flows(receiver: Receiver, canaries: Canaries) -> dict[str, Json]:
    """Return flows that do and fail what flows can do and fail."""
    dead = f"http://127.0.0.1:{free_port()}/{canaries.new('path of a node')}"

    def request(url: str) -> Json:
        config = {
            "url": f"{url}/{{{{ input.x }}}}",
            "query": {"q": "input.x", canaries.new("query of a node"): "'1'"},
            "headers": {
                "authorization": f"Bearer {canaries.new('token of a node')}",
                "x-value": "{{ input.x }}",
            },
            "method": "POST",
            "json": {canaries.new("field of a node's body"): "input.x"},
        }
        calls = {**node("calls", "http_request", **config), "retry": {"attempts": 2}}
        return linear_flow("calls", node("input", "api_input"), calls, node("out", "api_output"))

    literal = canaries.new("constant of a flow")
    python = node("calls", "python", function="fail", inputs={"text": "input.x"})
    schema = {"x": {"type": "string", "maxLength": 3}, canaries.new("field of a schema"): {}}
    strict = node("input", "api_input", schema={"type": "object", "properties": schema})
    return {
        "computes": transform_flow(f"input.x + '{literal}'"),
        "does not parse": transform_flow(f"int(input.x) + int('{literal}')"),
        "has no field": transform_flow("input.x.missing"),
        "calls": request(receiver.url("ok")),
        "is refused": request(receiver.url("status/403")),
        "is not connected": request(dead),
        "has no such host": request("http://{{ input.x }}.invalid"),
        "calls a function": linear_flow("f", node("input", "api_input"), python),
        "takes less": linear_flow("s", strict, node("out", "api_output")),
    }


def call_everything(runs: Runs, receiver: Receiver, canaries: Canaries) -> None:
    """Call each flow in both modes and types, with each webhook; wait for the end of all runs."""
    hooks, kinds = ("ok", "status/500", "hang"), ("server", "api")
    all_flows = flows(receiver, canaries).values()
    for number, (flow, mode) in enumerate(product(all_flows, ("sync", "async"))):
        kind = kinds[(number + number // 2) % 2]  # the other one for each next flow
        hook = f"{receiver.url(hooks[number % 3])}?token={canaries.new('token of a webhook')}"
        webhook = {"notification_method": "webhook", "callback_url": hook, "webhook_events": ALL}
        flow_id = runs.installation.post("/node/flows/", flow)["id"]
        modes = {"execution_mode": mode, "deployment_type": kind}
        body = {"flow_id": flow_id, "include_node_outputs": True, **modes, **webhook}
        made = runs.installation.post("/node/deployments/", body)
        canaries.own("secret of a webhook", made["webhook_secret"])
        value, extra = canaries.new("value of a run"), canaries.new("field of a run")
        headers = {"idempotency-key": canaries.new("idempotency key")}
        runs.call(made["id"], {"x": value, extra: 1}, headers)
    eventually(runs.list_all, lambda found: all(run["status"] in TERMINAL for run in found))
    assert {run["status"] for run in runs.list_all()} == {"completed", "failed"}


def call_badly(runs: Runs, deployment: str, canaries: Canaries) -> set[int]:
    """Make calls that are refused at each step; return their statuses."""
    new, url = canaries.new, f"{TRIGGER}{deployment}/"
    key = {"x-api-key": runs.installation.key}
    good = {"input_data": {"x": [[1, 2, 3, 4]]}}
    http = httpx.Client(base_url=runs.installation.up.url)
    requests: list[tuple[str, dict[str, Any]]] = [
        (url, {"content": f'{{"input_data": {new("bad JSON")}', "headers": key}),
        (url, {"content": new("no JSON"), "headers": {**key, "content-type": new("type")}}),
        (url, {"json": {"input_data": {"x": new("value for a tensor")}}, "headers": key}),
        (url, {"json": {"input_data": {new("name of a tensor"): [[1.0]]}}, "headers": key}),
        (url, {"json": {"input_data": {}, new("member"): new("value")}, "headers": key}),
        (url, {"json": good, "headers": key, "params": {new("name in a URL"): new("in a URL")}}),
        (url, {"json": good, "headers": key, "params": {"version": new("version")}}),
        (url, {"json": good, "headers": {"x-api-key": f"sk-{new('unknown key')}"}}),
        (url, {"json": good, "headers": {"x-api-key": new("no key")}}),
        (url, {"json": good, "headers": {"authorization": f"Bearer {new('bearer')}"}}),
        (url, {"json": good, "headers": {"authorization": f"Basic {new('basic')}"}}),
        (url, {"json": good, "headers": {"cookie": f"slipstream_session={new('cookie')}"}}),
        (url, {"json": good, "headers": {**key, "x-request-timeout": new("timeout")}}),
        (url, {"json": good, "headers": {**key, "traceparent": new("traceparent")}}),
        (url, {"json": good, "headers": {**key, "user-agent": new("user agent")}}),
        (url, {"json": good, "headers": {**key, "x-anything": new("header of a call")}}),
        (url, {"json": good, "headers": {**key, new("name-of-a-header"): "1"}}),
        (f"{url}batch/", {"json": {"items": [{"x": new("item")}]}, "headers": key}),
        (f"{TRIGGER}{new('deployment')}/", {"json": good, "headers": key}),
        (f"/{new('path')}/", {"headers": key}),
        ("/v2/models/iris/infer", {"json": {"inputs": [new("tensor")]}, "headers": key}),
        (f"/v2/models/{new('model')}/infer", {"json": {"inputs": []}, "headers": key}),
        ("/node/flows/", {"json": {"name": "x", "nodes": new("nodes")}, "headers": key}),
        (
            "/node/models/",
            {
                "params": {"name": "broken", "filename": new("name of a file")},
                "content": f"\x80\x04{new('model file')}".encode("latin-1"),
                "headers": {
                    **key,
                    "content-disposition": f"attachment; filename={new('disposition')}.onnx",
                },
            },
        ),
        ("/node/session/", {"json": {"email": "a@example.com", "password": new("password")}}),
        ("/metrics", {"headers": {"authorization": f"Bearer {new('token for metrics')}"}}),
    ]
    statuses = {http.post(path, **arguments).status_code for path, arguments in requests}
    http.close()
    return statuses


def use_sessions_and_tokens(runs: Runs, deployment: str, canaries: Canaries) -> None:
    """Call with a session of the console, and with credentials where they are not expected."""
    installation = runs.installation
    user = {"email": "ada@example.com", "password": canaries.new("password of a user")}
    installation.post("/node/users/", {**user, "role": "admin"})
    with httpx.Client(base_url=installation.up.url) as browser:
        session = browser.post("/node/session/", json=user)
        assert session.is_success, session.text
        (cookie,) = browser.cookies.jar
        assert cookie.value
        canaries.own("token of a session", cookie.value)
        token = canaries.own("CSRF token", session.json()["csrf_token"])
        headers = {"x-csrf-token": token, "origin": installation.up.url}
        body = {"input_data": {"x": canaries.new("value of a session")}}
        assert browser.post(f"{TRIGGER}{deployment}/", json=body, headers=headers).is_error
    pepper = canaries.own("pepper", (installation.up.state / "pepper").read_text().strip())
    for misplaced in (pepper, cookie.value):
        headers = {"authorization": f"Bearer {misplaced}"}
        httpx.get(f"{installation.up.url}/metrics", headers=headers)
    address = f"127.0.0.1:{installation.up.grpc_port}"
    with triton_grpc.InferenceServerClient(address) as client:
        for model, key in (
            ("iris", canaries.new("key over gRPC")),
            (canaries.new("model over gRPC"), installation.key),
        ):
            with pytest.raises(InferenceServerException):
                client.infer(model, tensors(triton_grpc), headers={"x-api-key": key})


def seen_by_operators(runs: Runs, collector: TraceCollector, token: str) -> dict[str, str]:
    """Stop the installation; return what it has told operators, by place."""
    up = runs.installation.up
    headers = {"authorization": f"Bearer {token}"}
    metrics = httpx.get(f"{up.url}/metrics", headers=headers)
    targets = httpx.get(f"{up.url}/metrics/targets", headers=headers)
    assert metrics.is_success
    places = {"/metrics": metrics.text, "/metrics/targets": targets.text}
    for target in targets.json():
        for address in target["targets"]:
            places[address] = httpx.get(f"http://{address}/metrics").text
    runs.installation.stop()
    places["stdout"], places["stderr"] = "".join(up.output), Path(f"{up.state}.stderr").read_text()
    places["spans"] = b"".join(collector.bodies).decode("latin-1")
    for path in (up.state / "logs").rglob("*.log*"):
        places[path.name] = path.read_text()
    return places


def test_no_secret_and_no_input_is_in_metrics_spans_and_logs(
    runs: Runs, collector: TraceCollector, receiver: Receiver, canaries: Canaries
) -> None:
    fast = runs.deploy(chain("iris"), "fast")
    token = next(word for word, what in canaries.words.items() if what == "token of /metrics")
    call_everything(runs, receiver, canaries)
    statuses = call_badly(runs, fast, canaries)
    assert statuses >= {200, 401, 404, 405, 422}
    use_sessions_and_tokens(runs, fast, canaries)
    places = seen_by_operators(runs, collector, token)

    assert len(places) > 5
    assert {"api_key_invalid", "flow_failed"} <= set(
        re.findall(r'code="(\w+)"', places["/metrics"])
    )
    assert {"node http_request", "POST webhook"} <= {span.name for span in collector.spans()}
    for event in ("call", "run_failed"):
        assert f'"event": "{event}"' in places["stderr"]
    assert len(canaries.words) > 100
    assert canaries.found(places) == set()
