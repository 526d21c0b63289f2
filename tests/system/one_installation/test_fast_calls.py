"""`POST /node/deployment-trigger/{id}/` in mode fast: responses, formats and errors."""

from __future__ import annotations

import httpx
import numpy as np
import onnxruntime as ort
import pytest

from tests.system.installation import Installation, chain
from tests.timing import eventually, pause

ROWS = [[5.1, 3.5, 1.4, 0.2], [6.3, 3.3, 6.0, 2.5]]


@pytest.fixture(scope="module")
def iris(installation: Installation) -> str:
    return installation.deploy(chain("iris"))


@pytest.fixture(scope="module")
def trigger_key(installation: Installation) -> str:
    key: str = installation.post("/node/api-keys/", {"name": "caller"})["key"]
    return key


def test_outputs_equal_those_of_onnx_runtime(installation: Installation, iris: str) -> None:
    answer = installation.trigger(iris, json={"input_data": {"x": ROWS}})
    assert answer.status_code == 200
    body = answer.json()
    session = ort.InferenceSession("slipstream/demo/iris.onnx")
    label, probabilities = session.run(
        ["label", "probabilities"], {"x": np.array(ROWS, np.float32)}
    )
    assert body["output_data"]["label"] == label.tolist()
    assert np.array_equal(np.array(body["output_data"]["probabilities"], np.float32), probabilities)
    assert body["status"] == "completed"
    assert body["fast_mode"] is True
    assert 0 < body["duration_seconds"] < 5
    assert "flow_run_id" not in body
    assert body["data"]["output_data"] == body["output_data"]
    for stage in ("auth", "parse", "queue", "infer", "serialise", "total"):
        assert f"{stage};dur=" in answer.headers["server-timing"]


def test_the_envelope_holds_the_run_as_data(installation: Installation) -> None:
    deployment = installation.deploy(chain("iris"), response_format="envelope")
    body = installation.trigger(deployment, json={"input_data": {"x": ROWS}}).json()
    assert body["status"] == "success"
    assert body["message"]
    assert body["data"]["status"] == "completed"
    assert body["data"]["output_data"]["label"] == [0, 2]


def test_the_trailing_slash_is_optional(installation: Installation, iris: str) -> None:
    answer = installation.http.post(
        f"/node/deployment-trigger/{iris}", json={"input_data": {"x": ROWS}}
    )
    assert answer.status_code == 200


def test_the_path_may_be_percent_encoded(installation: Installation, iris: str) -> None:
    for path in (f"/node/deployment%2Dtrigger/{iris}/", f"/node/deployment-trigger%2F{iris}"):
        answer = installation.http.post(path, json={"input_data": {"x": ROWS}})
        assert answer.status_code == 200, answer.text


def test_a_bearer_token_is_a_key_and_a_manage_key_may_trigger(
    installation: Installation, iris: str, trigger_key: str
) -> None:
    for key in (trigger_key, installation.key):
        answer = httpx.post(
            f"{installation.up.url}/node/deployment-trigger/{iris}/",
            headers={"Authorization": f"Bearer {key}"},
            json={"input_data": {"x": ROWS}},
        )
        assert answer.status_code == 200


def test_nan_and_infinities_are_returned_as_strings(installation: Installation) -> None:
    deployment = installation.deploy(chain("nan"))
    answer = installation.trigger(deployment, json={"input_data": {"x": [-1.0, 1.0, 0.0]}})
    assert answer.status_code == 200
    assert answer.json()["output_data"]["log"] == ["NaN", 0.0, "-Infinity"]
    assert answer.json()["output_data"]["reciprocal"] == [-1.0, 1.0, "Infinity"]


def test_strings_and_integers_pass_through_a_deployment(installation: Installation) -> None:
    deployment = installation.deploy(chain("mixed"))
    data = {"number": [[1.5, 2]], "count": [7], "text": ["grün"]}
    answer = installation.trigger(deployment, json={"input_data": data})
    assert answer.status_code == 200, answer.text
    expected = {"doubled": [[3.0, 4.0]], "next": [8], "echo": ["grün"]}
    assert answer.json()["output_data"] == expected


@pytest.mark.parametrize(
    ("status", "code", "request_"),
    [
        (400, "invalid_json", {"content": b'{"input_data":'}),
        (400, "invalid_json", {"content": b"\xff\xfe"}),
        (400, "invalid_request", {"json": [1]}),
        (400, "invalid_request", {"json": {"input_data": [1]}}),
        (415, "unsupported_media_type", {"data": {"x": "1"}}),
        (422, "invalid_input", {}),
        (422, "invalid_input", {"json": {"input_data": {"y": 1}}}),
        (422, "invalid_tensor", {"json": {"input_data": {"x": "text"}}}),
        (422, "invalid_tensor", {"json": {"input_data": {"x": [[1, 2], [3]]}}}),
        (422, "invalid_tensor", {"json": {"input_data": {"x": [[1, 2, 3]]}}}),
        (422, "invalid_tensor", {"json": {"input_data": {"x": [[1, 2, 3, True]] * 2 + [None]}}}),
    ],
)
def test_an_invalid_body_is_refused_with_the_reason(
    installation: Installation, iris: str, status: int, code: str, request_: dict[str, object]
) -> None:
    answer = installation.trigger(iris, **request_)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["message"]
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert "server-timing" in answer.headers


def test_a_body_over_the_limit_is_refused(installation: Installation, iris: str) -> None:
    answer = installation.trigger(iris, content=b" " * (64 * 1024 * 1024 + 1))
    assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")


@pytest.mark.parametrize(
    ("key", "code"),
    [
        (None, "api_key_missing"),
        ("sk-short", "api_key_invalid"),
        ("sk-EuT64********vsQa1", "api_key_invalid"),
        ("sk-EuT64aB3dE6fG7hJ8kL9mN0pQ1rS2tU3vW4xY5zZ3vsQa1", "api_key_invalid"),
        ("sk-" + "é" * 46, "api_key_invalid"),
    ],
)
def test_a_call_without_a_valid_key_is_refused(
    installation: Installation, iris: str, key: str | None, code: str
) -> None:
    answer = httpx.post(
        f"{installation.up.url}/node/deployment-trigger/{iris}/",
        headers={} if key is None else {"X-API-Key": key.encode("latin-1")},
    )
    assert (answer.status_code, answer.json()["code"]) == (401, code)
    assert answer.headers["www-authenticate"] == "ApiKey"


def test_a_key_for_other_deployments_is_forbidden(installation: Installation, iris: str) -> None:
    other = installation.deploy(chain("iris"))
    body = {"name": "other's", "deployments": [other]}
    key = installation.post("/node/api-keys/", body)["key"]
    url = f"{installation.up.url}/node/deployment-trigger"
    headers = {"X-API-Key": key}
    answer = httpx.post(f"{url}/{iris}/", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "api_key_forbidden")
    call = {"input_data": {"x": ROWS}}
    assert httpx.post(f"{url}/{other}/", headers=headers, json=call).status_code == 200


def test_a_deactivated_key_is_refused_within_a_second_in_every_process(
    installation: Installation, iris: str
) -> None:
    created = installation.post("/node/api-keys/", {"name": "leaked"})
    call = {"headers": {"X-API-Key": created["key"]}, "json": {"input_data": {"x": ROWS}}}
    url = f"{installation.up.url}/node/deployment-trigger/{iris}/"
    assert {httpx.post(url, **call).status_code for _ in range(8)} == {200}
    installation.post(f"/node/api-keys/{created['id']}/deactivate/", {})
    pause(1)
    assert {httpx.post(url, **call).status_code for _ in range(8)} == {401}
    installation.post(f"/node/api-keys/{created['id']}/activate/", {})
    pause(1)
    assert {httpx.post(url, **call).status_code for _ in range(8)} == {200}


def test_an_unknown_deployment_is_not_found_and_a_deleted_one_gone(
    installation: Installation,
) -> None:
    for unknown in ("00000000-0000-0000-0000-000000000000", "nonsense", "%00", "a/b"):
        answer = installation.trigger(unknown)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    deleted = installation.deploy(chain("iris"))
    assert installation.http.delete(f"/node/deployments/{deleted}/").is_success
    pause(1)
    answer = installation.trigger(deleted)
    assert (answer.status_code, answer.json()["code"]) == (410, "gone")


def test_a_model_without_an_inference_server_is_a_conflict(installation: Installation) -> None:
    installation.add_model("idle", installation.up.state / "models" / "mlp" / "1" / "model.onnx")
    deployments = [
        installation.deploy(chain("idle"), execution_mode=mode, deployment_type="server")
        for mode in ("sync", "fast")
    ]
    installation.command("models", "unserve", "idle")
    for deployment in deployments:
        answer = until_it_is_a_conflict(installation, deployment)
        assert answer.json()["code"] == "no_active_inference"
        assert answer.json()["retryable"] is False
        assert "retry-after" not in answer.headers
        assert "slipstream models serve idle" in answer.json()["message"]


def until_it_is_a_conflict(installation: Installation, deployment: str) -> httpx.Response:
    """Call until the gateway has heard that the server was stopped."""
    return eventually(
        lambda: installation.trigger(deployment, json={"input_data": {"x": ROWS}}),
        lambda answer: answer.status_code == 409,
    )


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/node/deployment-trigger/x/", 405),
        ("PUT", "/node/flows/", 405),
        ("GET", "/nothing/here", 404),
        ("POST", "/node/flows/", 422),
        ("GET", "/node/flows/?limit=0", 422),
    ],
)
def test_every_error_is_a_problem_document(
    installation: Installation, method: str, path: str, status: int
) -> None:
    answer = installation.http.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert {"type", "title", "status", "detail", "code", "message"} <= answer.json().keys()
