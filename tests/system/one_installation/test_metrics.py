"""/metrics is complete, summed over the gateway processes, and accepted by promtool."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
import tritonclient.grpc as triton_grpc
from prometheus_client.parser import text_string_to_metric_families
from tritonclient.utils import InferenceServerException

from tests import onnx_models
from tests.metrics_text import open_metrics, sample
from tests.system.installation import Installation, chain
from tests.timing import eventually


def test_metrics_are_summed_over_all_processes(installation: Installation) -> None:
    deployment = installation.deploy(chain("iris"))
    url = f"{installation.up.url}/node/deployment-trigger/{deployment}/"
    headers = {"X-API-Key": installation.key}
    for _ in range(20):  # one connection each, so that both processes receive calls
        assert httpx.post(
            url, headers=headers, json={"input_data": {"x": [[1, 2, 3, 4]]}}
        ).is_success
    assert httpx.post(url, headers=headers, content=b"{").status_code == 400
    labels = {"deployment": deployment, "mode": "fast"}
    text = eventually(
        lambda: installation.http.get("/metrics").text,
        lambda text: sample(text, "gateway_requests_total", code="200", **labels) == 20,
    )
    assert sample(text, "gateway_requests_total", code="400", **labels) == 1
    assert sample(text, "gateway_request_seconds_count", **labels) == 21
    assert sample(text, "gateway_request_seconds_bucket", le="60.0", **labels) == 21
    for stage in ("auth", "parse", "queue", "infer", "serialise"):
        stages = {"deployment": deployment, "stage": stage}
        assert sample(text, "gateway_stage_seconds_count", **stages) == 20
    assert sample(text, "gateway_stage_seconds_sum", deployment=deployment, stage="infer") > 0
    assert sample(text, "gateway_errors_total", code="invalid_json", **labels) == 1
    assert sample(text, "runs_total", status="completed", **labels) == 20
    ready = {"model": "iris", "version": "1", "state": "ready"}
    assert sample(text, "inference_server_state", **ready) == 1
    assert sample(text, "inference_server_boot_seconds", model="iris") > 0


def test_series_of_a_deleted_deployment_disappear(installation: Installation) -> None:
    kept, deleted = (installation.deploy(chain("iris")) for _ in range(2))
    headers = {"X-API-Key": installation.key}
    for deployment in (kept, deleted):
        url = f"{installation.up.url}/node/deployment-trigger/{deployment}/"
        for _ in range(10):  # one connection each, so that both processes receive calls
            answer = httpx.post(url, headers=headers, json={"input_data": {"x": [[1, 2, 3, 4]]}})
            assert answer.is_success
        until_scraped(installation, lambda text, each=deployment: each in text)
    assert installation.http.delete(f"/node/deployments/{deleted}/").is_success
    text = until_scraped(installation, lambda text: deleted not in text)
    assert kept in text


def until_scraped(installation: Installation, true: Callable[[str], bool]) -> str:
    """Scrape until the condition is true of ten scrapes in a row, which reach both processes."""

    def scrape(count: int) -> list[str]:
        """Scrape so often, but only once if the condition is not true then."""
        texts: list[str] = []
        while len(texts) < count and (not texts or true(texts[-1])):
            texts.append(httpx.get(f"{installation.up.url}/metrics").text)
        return texts

    texts = eventually(lambda: scrape(10), lambda found: len(found) == 10 and true(found[-1]))
    return texts[-1]


def test_grpc_calls_are_counted_too(installation: Installation) -> None:
    before = installation.http.get("/metrics").text
    tensor = triton_grpc.InferInput("x", [1, 4], "FP32")
    tensor.set_data_from_numpy(np.ones((1, 4), np.float32))
    wrong = triton_grpc.InferInput("x", [1, 3], "FP32")
    wrong.set_data_from_numpy(np.ones((1, 3), np.float32))
    headers = {"x-api-key": installation.key}
    with triton_grpc.InferenceServerClient(f"127.0.0.1:{installation.up.grpc_port}") as client:
        client.infer("iris", [tensor], headers=headers)
        with pytest.raises(InferenceServerException):
            client.infer("iris", [wrong], headers=headers)
    labels = {"deployment": "iris", "mode": "grpc"}
    for code in ("200", "400"):
        name = "gateway_requests_total"
        expected = sample(before, name, code=code, **labels) + 1
        eventually(
            lambda: installation.http.get("/metrics").text,
            lambda text: sample(text, name, code=code, **labels) == expected,  # noqa: B023
        )


def test_no_label_of_a_target_is_a_label_of_a_series(installation: Installation) -> None:
    targets = installation.http.get("/metrics/targets").json()
    (iris,) = [each for each in targets if "iris" in each["labels"].values()]
    for address in (installation.up.url, f"http://{iris['targets'][0]}"):
        labels = labels_of(httpx.get(f"{address}/metrics").text)
        assert "model" in labels
        assert labels.isdisjoint(iris["labels"]), address
    assert iris["labels"] == {"served_model": "iris", "served_version": "1", "replica": "0"}


def labels_of(text: str) -> set[str]:
    """Return the names of all labels of the samples."""
    return {
        label
        for family in text_string_to_metric_families(text)
        for item in family.samples
        for label in item.labels
    }


def test_boots_and_ends_of_an_inference_server_are_counted_until_it_is_deleted(
    installation: Installation, tmp_path: Path
) -> None:
    installation.add_model("counted", onnx_models.mlp(tmp_path / "counted.onnx"))
    server = installation.serve("counted")
    boots = {"model": "counted", "version": "1", "outcome": "ready"}
    ends = {"process": "inference_server", "reason": "SIGKILL"}
    name = "inference_server_boots_total"
    started, restarted = ({**boots, "cause": cause} for cause in ("start", "restart"))
    text = until_scraped(installation, lambda text: sample(text, name, **started) == 1)
    killed = sample(text, "process_exits_total", **ends)
    psutil.Process(server["processes"][0]["pid"]).kill()
    text = until_scraped(installation, lambda text: sample(text, name, **restarted) == 1)
    assert sample(text, "process_exits_total", **ends) == killed + 1
    duration = "inference_server_boot_duration_seconds_count"
    assert sample(text, duration, model="counted", version="1") == 2
    assert installation.http.delete(f"/node/inference-servers/{server['id']}/").is_success
    until_scraped(installation, lambda text: 'model="counted"' not in text)


def test_open_metrics_are_complete(installation: Installation) -> None:
    (iris,) = [
        target["targets"][0]
        for target in installation.http.get("/metrics/targets").json()
        if "iris" in target["labels"].values()
    ]
    for url in (installation.up.url, f"http://{iris}"):
        plain = httpx.get(f"{url}/metrics")
        assert plain.headers["content-type"].startswith("text/plain; version=0.0.4")
        accept = {"Accept": "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;q=0.3"}
        answer = httpx.get(f"{url}/metrics", headers=accept)
        assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1")
        assert answer.text.endswith("\n# EOF\n")
        families = {each.name: each.type for each in open_metrics(answer.text)}
        expected = {
            each.name.removesuffix("_total") if each.type == "counter" else each.name: each.type
            for each in text_string_to_metric_families(plain.text)
        }
        assert families == expected


@pytest.mark.services
def test_promtool_reports_no_problem(installation: Installation) -> None:
    targets = installation.http.get("/metrics/targets").json()
    iris = [target for target in targets if target["labels"]["served_model"] == "iris"]
    addresses = [f"{installation.up.url}/metrics"]
    addresses += [f"http://{target['targets'][0]}/metrics" for target in iris]
    assert len(addresses) == 2
    for address in addresses:
        text = httpx.get(address).text
        assert "# HELP" in text
        result = subprocess.run(
            ["promtool", "check", "metrics"], input=text.encode(), capture_output=True, check=False
        )
        assert result.returncode == 0
        assert result.stdout + result.stderr == b""


def test_the_api_documentation_loads_nothing_from_other_hosts(installation: Installation) -> None:
    page = installation.http.get("/docs")
    assert page.is_success
    assert "https://" not in page.text
    assert installation.http.get("/docs/assets/swagger-ui-bundle.js").is_success
    paths = installation.http.get("/openapi.json").json()["paths"]
    assert "/node/deployment-trigger/{deployment_id}/" in paths
    assert "/v2/models/{model}/infer" in paths
