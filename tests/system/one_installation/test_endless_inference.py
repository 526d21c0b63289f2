"""An inference that would never end costs its own caller a deadline, and others nothing."""

from __future__ import annotations

import httpx
import pytest

from tests import onnx_models
from tests.system.installation import Installation, chain

_ENDLESS = 10**15
_SOON_SECONDS = 20.0
"""Much longer than a call takes, and much shorter than the default deadline of a deployment."""


@pytest.fixture(scope="module")
def counting(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Serve and deploy a model that adds 1 as often as its caller says."""
    path = onnx_models.loop(tmp_path_factory.mktemp("loop") / "loop.onnx")
    installation.add_model("counting", path)
    installation.serve("counting")
    return installation.deploy(chain("counting"))


def count(
    installation: Installation, deployment: str, trips: int, **arguments: object
) -> httpx.Response:
    body = {"input_data": {"x": [0.5], "trips": trips}}
    return installation.trigger(deployment, json=body, **arguments)


def assert_counts(installation: Installation, deployment: str) -> None:
    answer = count(installation, deployment, 3, timeout=_SOON_SECONDS)
    assert answer.status_code == 200, answer.text
    assert answer.json()["output_data"]["y"] == [3.5]


def test_a_run_ends_at_the_deadline_of_its_call(installation: Installation, counting: str) -> None:
    assert_counts(installation, counting)
    before = installation.up.servers("counting 1")
    late = count(installation, counting, _ENDLESS, headers={"X-Request-Timeout": "1"})
    assert late.status_code == 504
    assert late.json()["code"] == "deadline_exceeded"
    assert_counts(installation, counting)
    assert installation.up.servers("counting 1") == before


def test_a_run_ends_when_its_client_hangs_up(installation: Installation, counting: str) -> None:
    body = {"input_data": {"x": [0.5], "trips": _ENDLESS}}
    url = f"{installation.up.url}/node/deployment-trigger/{counting}/"
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(url, json=body, headers={"X-API-Key": installation.key}, timeout=0.5)
    assert_counts(installation, counting)
