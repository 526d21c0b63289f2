"""Usage of real installations contains every call and every run exactly once."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import onnx_models
from tests.slipstream.running import NO_WORKER, Up
from tests.system.flow_documents import division_flow, transform_flow
from tests.system.installation import Installation, Json, chain
from tests.system.runs import Runs, eventually

IRIS = {"x": [[5.1, 3.5, 1.4, 0.2]]}


def usage_of(installation: Installation, deployment: str, **query: str) -> list[Json]:
    """Return the usage items of a deployment."""
    answer = installation.http.get("/node/usage/", params={"deployment": deployment, **query})
    assert answer.status_code == 200, answer.text
    items: list[Json] = answer.json()["items"]
    return items


def until_counted(installation: Installation, deployment: str, **counts: int) -> Json:
    """Wait until the usage of a deployment has these counts, and never more; return its item."""

    def look() -> dict[str, Any]:  # Any: JSON
        found = usage_of(installation, deployment)
        item = found[0] if found else dict.fromkeys(counts, 0)
        assert all(item[name] <= count for name, count in counts.items()), item
        return item

    return eventually(look, lambda item: all(item[name] == n for name, n in counts.items()))


def test_calls_of_every_mode_are_counted_exactly(runs: Runs) -> None:
    fast = runs.deploy(chain("iris"), "fast")
    sync = runs.deploy(division_flow(), "sync", "server")
    background = runs.deploy(transform_flow(), "async", "api")
    for _ in range(30):
        assert runs.call(fast, IRIS).status_code == 200
    for _ in range(4):
        assert runs.call(fast, {"x": "no"}).status_code == 422
    for x in (1, 2, 4, 5, 0, 0):
        assert runs.call(sync, {"x": x}).status_code == (200 if x else 500)
    accepted = [runs.accept(background, {"x": x}) for x in range(8)]
    for run_id in accepted:
        runs.until(run_id)
    where = runs.installation
    found = until_counted(where, fast, calls=34, errors=4, runs=0)
    assert found["errors_by_code"] == {"invalid_tensor": 4}
    assert set(found["stages"]) == {"auth", "parse", "queue", "infer", "serialise"}
    found = until_counted(where, sync, calls=6, errors=2, runs=6, run_errors=2)
    assert found["errors_by_code"] == {"flow_failed": 2}
    assert found["run_errors_by_code"] == {"flow_failed": 2}
    assert set(found["stages"]) == {"auth", "parse", "queue", "run"}
    assert 0 < found["stages"]["run"]["p50_seconds"] <= found["p99_seconds"]
    found = until_counted(where, background, calls=8, errors=0, runs=8, run_errors=0)
    codes = usage_of(where, sync, by="code")
    assert [(item["code"], item["calls"], item["runs"]) for item in codes] == [
        ("flow_failed", 2, 2),
        ("ok", 4, 4),
    ]


def test_the_heartbeats_of_workers_are_measured(runs: Runs) -> None:
    name = "celery_worker_heartbeat_age_seconds{worker="
    eventually(lambda: runs.http.get("/metrics").text, lambda text: name in text)


def test_a_batch_counts_as_one_call_and_each_item_as_a_run(runs: Runs) -> None:
    sync = runs.deploy(transform_flow(), "sync", "server")
    answer = runs.http.post(
        f"/node/deployment-trigger/{sync}/batch/", json={"input_data": [{"x": x} for x in range(5)]}
    )
    assert answer.status_code == 200, answer.text
    until_counted(runs.installation, sync, calls=1, runs=5)


@pytest.fixture(scope="module")
def two_gateways(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A private installation."""
    state = tmp_path_factory.mktemp("two_gateways") / "state"
    up = Up(state, "--workers", "2", *NO_WORKER)
    up.until("documentation")
    installation = Installation(up)
    yield installation
    installation.stop()


def test_the_wait_for_a_booting_server_is_measured_separately(
    two_gateways: Installation, tmp_path: Path
) -> None:
    two_gateways.add_model("slow", onnx_models.slow_to_load(tmp_path / "slow.onnx", 2))
    runs = Runs(two_gateways)
    sync = runs.deploy(chain("slow"), "sync", "server")
    two_gateways.serve("slow", wait=False)
    answer = runs.call(sync, {"x": [1.0, 2.0]})
    assert answer.status_code == 200, answer.text
    found = until_counted(two_gateways, sync, calls=1, runs=1)
    boot, run = found["stages"]["boot"]["p50_seconds"], found["stages"]["run"]["p50_seconds"]
    assert 0.3 < boot <= run * 1.1
    eventually(
        lambda: two_gateways.http.get("/metrics").text,
        lambda text: 'run_stage_seconds_count{mode="sync",stage="boot"} 1.0' in text,
    )


def test_a_killed_gateway_loses_the_counts_of_its_last_seconds_but_no_run(
    two_gateways: Installation,
) -> None:
    fast = two_gateways.deploy(chain("iris"))
    runs = Runs(two_gateways)
    background = runs.deploy(transform_flow(), "async", "server")

    def call(times: int) -> None:
        for _ in range(times):  # one connection each, so that both processes receive calls
            with httpx.Client(
                base_url=two_gateways.up.url, headers={"X-API-Key": two_gateways.key}
            ) as client:
                for deployment, given in ((fast, IRIS), (background, {"x": 1})):
                    path = f"/node/deployment-trigger/{deployment}/"
                    eventually(
                        partial(client.post, path, json={"input_data": given}),
                        lambda answer: answer.is_success,  # a new process may not be ready yet
                    )

    call(20)
    until_counted(two_gateways, fast, calls=20)
    call(6)
    for gateway in two_gateways.up.gateways():
        gateway.kill()
    eventually(lambda: _ready(two_gateways), bool)
    call(4)
    until_counted(two_gateways, background, runs=30)

    def answered() -> int:
        (item,) = usage_of(two_gateways, fast)
        found: int = item["calls"] - item["errors"]
        return found

    assert 24 <= eventually(answered, lambda calls: calls >= 24) <= 30


def _ready(installation: Installation) -> bool:
    try:
        return installation.http.get("/readyz").is_success
    except httpx.TransportError:
        return False
