"""Limits in every API of an installation: two gateways that count in a private Redis."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import httpx
import orjson
import pytest

from gateway.auth import keys
from protos import open_inference_pb2 as pb
from protos.methods import SERVICE
from tests.services.redis import RedisServer
from tests.slipstream.running import Up
from tests.system.flow_documents import echo_flow, waiting_flow
from tests.system.installation import Installation, Json, chain
from tests.timing import TIMEOUT_SECONDS, eventually, pause

pytestmark = pytest.mark.services

X = [[5.1, 3.5, 1.4, 0.2]]
TENSOR = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": X[0]}
IRIS = {"inputs": [TENSOR]}
QUOTA_EXCEEDED = "https://iana.org/assignments/http-problem-types#quota-exceeded"
FAILURES = 40
IN_FORCE_SECONDS = 1.0
_STATUSES = {grpc.StatusCode.UNAUTHENTICATED: 401, grpc.StatusCode.RESOURCE_EXHAUSTED: 429}


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Two gateways that serve `iris`."""
    folder = tmp_path_factory.mktemp("limited")
    redis = RedisServer(folder)
    redis.start()
    up = Up(
        folder / "state",
        *("--workers", "2"),
        SLIPSTREAM_RATE_LIMIT_URL=redis.url,
        SLIPSTREAM_FAILED_AUTH_PER_MINUTE=str(FAILURES),
        SLIPSTREAM_HEADER_SECONDS="1",
        SLIPSTREAM_WORKER_CONCURRENCY="0",
    )
    up.until("documentation")
    yield (running := Installation(up))
    running.stop()
    redis.stop()


@pytest.fixture(scope="module")
def iris(limited: Installation) -> str:
    return limited.deploy(chain("iris"))


def key_with(limited: Installation, **limits: int) -> str:
    """Return a new key with these limits."""
    made = limited.post("/node/api-keys/", {"name": "limited", "limits": limits})
    assert made["limits"].items() >= limits.items()
    key: str = made["key"]
    return key


def call(limited: Installation, deployment: str, key: str, body: object = None) -> httpx.Response:
    """Trigger over a new connection, so that either gateway may receive it."""
    path = f"{limited.up.url}/node/deployment-trigger/{deployment}/"
    document = {"input_data": {"x": X}} if body is None else body
    return httpx.post(path, json=document, headers={"X-API-Key": key})


def statuses(answers: list[httpx.Response]) -> dict[int, int]:
    codes = [answer.status_code for answer in answers]
    return {code: codes.count(code) for code in sorted(set(codes))}


def test_a_quota_is_exact_over_both_gateways(limited: Installation, iris: str) -> None:
    key = key_with(limited, calls_per_day=20)  # a unit every 72 minutes
    with ThreadPoolExecutor(8) as crowd:
        answers = list(crowd.map(lambda _: call(limited, iris, key), range(60)))
    assert statuses(answers) == {200: 20, 429: 40}
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.headers["content-type"] == "application/problem+json"
    problem = refused.json()
    assert problem["type"] == QUOTA_EXCEEDED
    assert problem["violated-policies"] == ["key-day"]
    assert (problem["code"], problem["retryable"]) == ("rate_limited", True)
    assert refused.headers["ratelimit-policy"] == '"key-day";q=20;w=86400'
    name, remaining, reset = refused.headers["ratelimit"].split(";")
    assert (name, remaining) == ('"key-day"', "r=0")
    assert 86_300 < int(reset.removeprefix("t=")) <= 86_400
    assert 4_200 < int(refused.headers["retry-after"]) <= 4_320 * 1.1
    other = key_with(limited, calls_per_day=20)
    assert call(limited, iris, other).status_code == 200


def test_rate_limit_headers_are_sent_only_where_limits_apply(
    limited: Installation, iris: str
) -> None:
    answer = call(limited, iris, key_with(limited, calls_per_day=5))
    assert answer.headers["ratelimit-policy"] == '"key-day";q=5;w=86400'
    assert answer.headers["ratelimit"].startswith('"key-day";r=4;t=')
    assert "ratelimit" not in limited.trigger(iris, json={"input_data": {"x": X}}).headers


def test_calls_refused_for_other_reasons_use_no_quota(limited: Installation, iris: str) -> None:
    key = key_with(limited, calls_per_minute=2)
    limited.http.patch(f"/node/deployments/{iris}/", json={"limits": {"calls_per_minute": 1000}})
    other = limited.deploy(chain("iris"))
    only = limited.post("/node/api-keys/", {"name": "only", "deployments": [other]})["key"]
    assert call(limited, iris, only).status_code == 403
    assert call(limited, iris, keys.generate_key()).status_code == 401
    assert call(limited, "00000000-0000-4000-8000-000000000000", key).status_code == 404
    assert statuses([call(limited, iris, key) for _ in range(3)]) == {200: 2, 429: 1}
    limited.http.patch(f"/node/deployments/{iris}/", json={"limits": None})


def test_a_changed_limit_applies_in_both_gateways_within_a_second(limited: Installation) -> None:
    deployment = limited.deploy(chain("iris"))
    key = key_with(limited, calls_per_day=100_000)
    command = ("deployments", "set", deployment, "--calls-per-minute", "1")
    assert limited.command(*command)["limits"]["calls_per_minute"] == 1
    pause(IN_FORCE_SECONDS)
    answers = [call(limited, deployment, key) for _ in range(10)]
    assert statuses(answers) == {200: 1, 429: 9}
    shown = limited.http.patch(
        f"/node/deployments/{deployment}/", json={"limits": {"calls_per_minute": None}}
    ).json()
    assert shown["limits"]["calls_per_minute"] is None
    pause(IN_FORCE_SECONDS)
    assert statuses([call(limited, deployment, key) for _ in range(10)]) == {200: 10}


def test_a_batch_costs_as_much_as_its_items(limited: Installation, iris: str) -> None:
    key = key_with(limited, calls_per_day=10)
    batch = {"input_data": [{"x": X}] * 8}
    assert call(limited, f"{iris}/batch", key, batch).json()["failed"] == 0
    assert call(limited, f"{iris}/batch", key, batch).status_code == 429
    assert statuses([call(limited, iris, key) for _ in range(4)]) == {200: 2, 429: 2}


def test_concurrent_runs_are_limited_and_a_finished_run_frees_its_slot(
    limited: Installation,
) -> None:
    deployment = limited.deploy(
        waiting_flow(120), execution_mode="async", deployment_type="server", retry_safe=False
    )
    limited.http.patch(f"/node/deployments/{deployment}/", json={"limits": {"concurrent_runs": 2}})
    key = key_with(limited, calls_per_day=1000)
    pause(IN_FORCE_SECONDS)
    with ThreadPoolExecutor(6) as crowd:
        body = {"input_data": {"x": 1}}
        answers = list(crowd.map(lambda _: call(limited, deployment, key, body), range(6)))
    assert statuses(answers) == {202: 2, 429: 4}
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.json()["code"] == "too_many_runs"
    assert refused.json()["violated-policies"] == ["deployment-runs"]
    failed, going_on = [answer for answer in answers if answer.status_code == 202]
    limited.http.post(failed.headers["location"] + "cancel/")
    eventually(
        lambda: limited.http.get(failed.headers["location"]).json()["status"],
        lambda status: status == "cancelled",
    )
    retried = [limited.http.post(failed.headers["location"] + "retry/") for _ in range(2)]
    assert [answer.status_code for answer in retried] == [202, 429]
    for answer in (going_on, retried[0]):
        limited.http.post(answer.headers["location"] + "cancel/")
    last = eventually(
        lambda: call(limited, deployment, key, body), lambda answer: answer.status_code == 202
    )
    limited.http.post(last.headers["location"] + "cancel/")  # otherwise stopping would wait for it


def test_polls_have_their_own_limit(limited: Installation) -> None:
    deployment = limited.deploy(echo_flow(), execution_mode="sync", deployment_type="server")
    key = key_with(limited, calls_per_minute=100, polls_per_minute=3)
    run = call(limited, deployment, key, {"input_data": {"param1": "1"}}).json()["flow_run_id"]
    with httpx.Client(base_url=limited.up.url, headers={"X-API-Key": key}) as http:
        looks = [http.get(f"/node/flow-runs/{run}/") for _ in range(5)]
        events = http.get(f"/node/flow-runs/{run}/events/")
    assert statuses(looks) == {200: 3, 429: 2}
    assert looks[0].headers["ratelimit-policy"] == '"key-polls";q=3;w=60'
    assert looks[4].json()["violated-policies"] == ["key-polls"]
    assert events.status_code == 429
    assert call(limited, deployment, key, {"input_data": {"param1": "1"}}).status_code == 200
    limits = {"limits": {"polls_per_minute": 2}}
    limited.http.patch(f"/node/deployments/{deployment}/", json=limits)
    pause(IN_FORCE_SECONDS)
    answers = [limited.http.get(f"/node/flow-runs/{run}/") for _ in range(4)]
    assert statuses(answers) == {200: 2, 429: 2}


def test_model_calls_count_over_rest_and_grpc(limited: Installation) -> None:
    key = key_with(limited, calls_per_day=6)
    headers = {"X-API-Key": key}
    url = f"{limited.up.url}/v2/models/iris/infer"
    answers = [httpx.post(url, json=IRIS, headers=headers) for _ in range(4)]
    assert statuses(answers) == {200: 4}
    assert answers[0].headers["ratelimit-policy"] == '"key-day";q=6;w=86400'
    with grpc.insecure_channel(f"127.0.0.1:{limited.up.grpc_port}") as channel:
        infer: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            f"/{SERVICE}/ModelInfer"
        )
        request = pb.ModelInferRequest(
            model_name="iris",
            inputs=[pb.ModelInferRequest.InferInputTensor(name="x", datatype="FP32", shape=[1, 4])],
            raw_input_contents=[bytes(16)],
        ).SerializeToString()
        for _ in range(2):
            infer(request, metadata=(("x-api-key", key),))
        with pytest.raises(grpc.RpcError) as refused:
            infer(request, metadata=(("x-api-key", key),))
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    last = httpx.post(url, json=IRIS, headers=headers)
    assert last.status_code == 429
    assert "key-day" in last.json()["error"]
    assert int(last.headers["retry-after"]) >= 1


@pytest.mark.parametrize("door", ["trigger", "v2", "management", "grpc"])
def test_failed_authentication_is_limited_by_address_in_every_api(
    limited: Installation, iris: str, door: str
) -> None:
    def attempt(key: str) -> int:
        headers = {"X-API-Key": key}
        match door:
            case "trigger":
                return call(limited, iris, key).status_code
            case "v2":
                url = f"{limited.up.url}/v2/models/iris/infer"
                return httpx.post(url, json=IRIS, headers=headers).status_code
            case "management":
                return httpx.get(f"{limited.up.url}/node/flows/", headers=headers).status_code
        with grpc.insecure_channel(f"127.0.0.1:{limited.up.grpc_port}") as channel:
            ask: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
                f"/{SERVICE}/ServerMetadata"
            )
            try:
                ask(b"", metadata=(("x-api-key", key),))
            except grpc.RpcError as error:
                return _STATUSES[error.code()]
            return 200

    started = time.monotonic()
    answers = [attempt(keys.generate_key()) for _ in range(FAILURES + 5)]
    regained = FAILURES / 60 * (time.monotonic() - started) + 1
    assert set(answers) <= {401, 429}
    assert answers.count(401) <= FAILURES + regained
    assert 429 in answers[-5:]
    assert attempt(limited.key) == 200, "a valid key from the same address"


def test_refused_calls_are_counted_in_the_metrics(limited: Installation, iris: str) -> None:
    key = key_with(limited, calls_per_minute=1)
    assert statuses([call(limited, iris, key) for _ in range(3)])[429] == 2
    eventually(
        lambda: limited.http.get("/metrics").text,
        lambda text: 'rate_limited_total{policy="key-minute"}' in text,
    )


def test_pages_of_other_origins_may_call_a_deployment_that_lists_them(
    limited: Installation,
) -> None:
    page, other_origin = "https://app.example.com", "https://evil.example"
    deployment = limited.deploy(echo_flow(), execution_mode="sync", deployment_type="server")
    path = f"/node/deployment-trigger/{deployment}/"
    body = {"input_data": {"param1": "1"}}
    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-api-key"}

    def preflight(at: str, origin: str) -> httpx.Response:
        return httpx.options(limited.up.url + at, headers={"Origin": origin, **asks})

    closed = preflight(path, page)
    assert "access-control-allow-origin" not in closed.headers
    settings = {"cors_origins": [page]}
    assert limited.http.patch(f"/node/deployments/{deployment}/", json=settings).is_success
    pause(IN_FORCE_SECONDS)
    for at in (path, path + "batch/"):
        opened = preflight(at, page)
        assert opened.status_code == 200
        assert opened.headers["access-control-allow-origin"] == page
        assert opened.headers["access-control-allow-methods"] == "POST"
        allowed = opened.headers["access-control-allow-headers"]
        expected = {"X-API-Key", "Idempotency-Key", "If-None-Match", "Prefer", "Content-Type"}
        assert expected | {"Slipstream-Metadata"} <= {*allowed.split(", ")}
        assert "Origin" in opened.headers["vary"]
        assert "access-control-allow-credentials" not in opened.headers
    assert "access-control-allow-origin" not in preflight(path, other_origin).headers

    good = limited.http.post(path, json=body, headers={"Origin": page})
    assert good.headers["access-control-allow-origin"] == page
    for name in ("ETag", "Location", "Retry-After", "RateLimit", "Response-Format"):
        assert name in good.headers["access-control-expose-headers"]
    foreign = limited.http.post(path, json=body, headers={"Origin": other_origin})
    assert foreign.status_code == 200
    assert "access-control-allow-origin" not in foreign.headers
    refused = httpx.post(limited.up.url + path, json=body, headers={"Origin": page})
    assert (refused.status_code, refused.json()["code"]) == (401, "api_key_missing")
    assert refused.headers["access-control-allow-origin"] == page

    run = f"/node/flow-runs/{good.json()['flow_run_id']}/"
    assert preflight(run, page).headers["access-control-allow-methods"] == "GET, POST"
    assert "access-control-allow-origin" not in preflight(run, other_origin).headers
    shown = limited.http.get(run, headers={"Origin": page})
    assert shown.headers["access-control-allow-origin"] == page
    listed = limited.http.get("/node/flow-runs/", headers={"Origin": page})
    assert "access-control-allow-origin" not in listed.headers


def test_a_fast_deployment_may_allow_all_origins(limited: Installation) -> None:
    deployment = limited.deploy(chain("iris"), cors_origins=["*"])
    answer = limited.trigger(
        deployment, json={"input_data": {"x": X}}, headers={"Origin": "https://any.example"}
    )
    assert answer.headers["access-control-allow-origin"] == "*"
    bad = {"flow_id": "x", "cors_origins": ["https://a.example/path"]}
    assert limited.http.post("/node/deployments/", json=bad).status_code == 422


def test_responses_have_security_headers(limited: Installation, iris: str) -> None:
    listed = limited.http.get("/node/api-keys/").headers
    assert listed["x-content-type-options"] == "nosniff"
    assert listed["cache-control"] == "no-store"
    assert listed["referrer-policy"] == "no-referrer"
    assert "frame-ancestors 'none'" in listed["content-security-policy"]
    docs = httpx.get(f"{limited.up.url}/docs").headers["content-security-policy"]
    assert "script-src 'self' 'sha256-" in docs
    assert "frame-ancestors 'none'" in docs
    fast = limited.trigger(iris, json={"input_data": {"x": X}})
    assert fast.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["/node/deployment-trigger/{}/", "/v2/models/iris/infer"])
def test_deeply_nested_json_is_refused(limited: Installation, iris: str, path: str) -> None:
    deep: Json = {"input_data": {}}
    for _ in range(70):
        deep = {"input_data": deep}
    answer = limited.http.post(path.format(iris), json=deep)
    assert answer.status_code == 400
    assert "64 levels" in answer.text
    flow = limited.http.post("/node/flows/", content=b"[" * 900 + b"]" * 900)
    assert (flow.status_code, flow.json()["code"]) == (400, "invalid_json")


def test_a_slow_client_is_cut_off_while_others_are_answered(
    limited: Installation, iris: str
) -> None:
    slow = [socket.create_connection(("127.0.0.1", limited.up.port)) for _ in range(50)]
    for connection in slow:
        connection.sendall(b"POST /node/deployment-trigger/x/ HTTP/1.1\r\nx: ")
    assert limited.trigger(iris, json={"input_data": {"x": X}}).status_code == 200
    for connection in slow:
        connection.settimeout(TIMEOUT_SECONDS)
        response = b""
        while part := connection.recv(4096):
            response += part
        assert response.startswith(b"HTTP/1.1 408 ")
        assert orjson.loads(response.partition(b"\r\n\r\n")[2])["code"] == "request_timeout"
        connection.close()
