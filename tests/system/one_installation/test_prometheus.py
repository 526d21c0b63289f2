"""A real Prometheus with the files of `slipstream monitoring` answers what operators ask."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from tests import onnx_models
from tests.dashboards.panels import dashboards, legend
from tests.services.prometheus import Prometheus
from tests.slipstream.running import environment
from tests.system.flow_documents import failing_flow, waiting_flow
from tests.system.installation import Installation, chain
from tests.system.one_installation.test_sleep import SleepingModel
from tests.timing import TIMEOUT_SECONDS

pytestmark = pytest.mark.services

IDLE = {
    *("ALERTS", "rollout_calls_total", "rate_limited_total", "requests_refused_total"),
    *("run_backlog", "run_boot_seconds_count", "run_boot_seconds_sum"),
    *("worker_busy", "worker_concurrency"),
    *("webhook_delivery_seconds", "webhook_oldest_seconds"),
}
"""Metrics of what the installation does not do in the test of all panels."""
ROW = {"input_data": {"x": [[1, 2, 3, 4]]}}
SYNC = {"execution_mode": "sync", "deployment_type": "server"}
ASYNC = {"execution_mode": "async", "deployment_type": "server"}
PAUSE_SECONDS = 0.3


@pytest.fixture(scope="module")
def prometheus(
    installation: Installation, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    """Prometheus on what the command wrote."""
    folder = tmp_path_factory.mktemp("prometheus") / "watch"
    installation.command("monitoring", str(folder))
    running = Prometheus(folder)
    running.start()
    yield running
    running.stop(signal.SIGTERM)


class Panels:
    """What the panels of the dashboards show."""

    def __init__(self, prometheus: Prometheus) -> None:
        self._prometheus = prometheus
        self._dashboards = dashboards()

    def until(
        self,
        place: str,
        true: Callable[[dict[str, float]], object],
        *,
        act: Callable[[], object] = lambda: None,
        **chosen: str,
    ) -> dict[str, float]:
        """Wait until the values of a panel, by legend, fulfil a condition; `act` meanwhile.

        `place` is `DASHBOARD | PANEL`.
        """
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while not true(shown := self.shown(place, **chosen)):
            assert time.monotonic() < deadline, f"{place}: {shown}"
            act()
            time.sleep(0.2)
        return shown

    def shown(self, place: str, **chosen: str) -> dict[str, float]:
        """Return the values of a panel, by legend."""
        name, title = place.split(" | ")
        panel = self._dashboards[f"slipstream-{name}"].panels[title]
        return {
            legend(words, series): series.value
            for words in panel.queries
            for series in self._prometheus.query(panel.query(words, **chosen))
        }


@pytest.fixture
def panels(prometheus: Prometheus) -> Panels:
    """What they show now."""
    return Panels(prometheus)


def has(*names: str) -> Callable[[dict[str, float]], bool]:
    """Return a condition: the panel shows lines of these names."""
    return lambda shown: set(names) <= set(shown)


def excused(query: str) -> bool:
    """Return whether the query is of something that this installation does not do."""
    names = {
        name.removesuffix(end) for name in re.findall(r"\w+", query) for end in ("", "_bucket")
    }
    return bool(names & IDLE) or 'status="failed"' in query


def test_every_panel_has_data(installation: Installation, prometheus: Prometheus) -> None:
    fast = installation.deploy(chain("iris"))
    sync = installation.deploy(chain("iris"), **SYNC)
    chosen = {"deployment": f"{fast}|{sync}", "model": "iris"}
    unanswered = {
        f"{name} | {title} | {words}": panel.query(words, **chosen)
        for name, dashboard in dashboards().items()
        for title, panel in dashboard.panels.items()
        for words in panel.queries
    }
    assert len(unanswered) > 80
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while waited := {panel: query for panel, query in unanswered.items() if not excused(query)}:
        assert time.monotonic() < deadline, waited
        for deployment in (*5 * (fast,), sync):
            answer = installation.trigger(deployment, json=ROW)
            assert answer.is_success
        for deployment in (fast, sync):
            assert installation.trigger(deployment, json={"input_data": {}}).is_error
        unanswered = {
            panel: query for panel, query in unanswered.items() if not prometheus.query(query)
        }
    targets = prometheus.query('up{job=~"slipstream.*"} == 1')
    assert {each.labels["job"] for each in targets} == {"slipstream", "slipstream-servers"}


def test_failures_of_a_deployment_and_the_key_with_the_most_calls(
    installation: Installation, panels: Panels
) -> None:
    good, failing = "good fast", "failing async"
    fast = installation.deploy(chain("iris"), name=good)
    failed = installation.deploy(failing_flow(), name=failing, **ASYNC)

    def call() -> None:
        assert installation.trigger(fast, json=ROW).is_success
        assert installation.trigger(failed, json={"input_data": {}}).status_code == 202

    ratio = panels.until("overview | Error ratio by deployment", has(failing, good), act=call)
    assert (ratio[failing], ratio[good]) == (1, 0)
    burn = panels.until("overview | Burn rate by deployment", has(failing, good), act=call)
    assert (burn[failing], burn[good]) == (pytest.approx(1000), 0)  # all, where 0.1 % may

    key = installation.command("keys", "create", "--name", "busy", "--deployment", fast)
    headers = {"X-API-Key": key["key"]}

    def call_with_the_key() -> None:
        for _ in range(20):
            assert installation.trigger(fast, json=ROW, headers=headers).is_success

    panels.until(
        "overview | Calls by key",
        lambda shown: max(shown, key=shown.__getitem__, default="") == key["id"],
        act=call_with_the_key,
    )


def test_phases_nodes_and_what_makes_calls_slow(installation: Installation, panels: Panels) -> None:
    fast = installation.deploy(chain("iris"), name="fast by phase")
    slow = installation.deploy(waiting_flow(PAUSE_SECONDS), name="slow by a node", **SYNC)

    def call() -> None:
        assert installation.trigger(fast, json=ROW).is_success
        assert installation.trigger(slow, json={"input_data": {"x": 1}}).is_success

    phases = has("auth", "parse", "queue", "infer", "serialise")
    panels.until("fast-path | p99 by phase", phases, act=call)
    panels.until("fast-path | p99 by deployment", has("fast by phase"), act=call)
    panels.until("deployment | p99 by phase", phases, act=call, deployment=fast)
    nodes = panels.until("deployment | Nodes", has("wait", "api_output"), act=call, deployment=slow)
    assert nodes["wait"] >= PAUSE_SECONDS > nodes["api_output"]
    spent = panels.until(
        "deployment | Where the time goes",
        has("sync call", "run: executes"),
        act=call,
        deployment=slow,
    )
    assert spent["sync call"] >= PAUSE_SECONDS
    assert spent["run: executes"] >= PAUSE_SECONDS > spent["run: waits for its start"]


def test_webhooks_without_a_receiver_and_cold_starts(
    installation: Installation, panels: Panels, tmp_path: Path
) -> None:
    hook = {"notification_method": "webhook", "callback_url": "https://hooks.example.com/"}
    hooked = installation.deploy(waiting_flow(0), name="with a webhook", **SYNC, **hook)
    model = SleepingModel(installation, tmp_path)
    wakes = installation.deploy(chain(model.name), name="that sleeps", **SYNC)
    assert installation.trigger(hooked, json={"input_data": {"x": 1}}).is_success

    place = "webhooks | Oldest event by deployment"
    late = panels.until(place, has("with a webhook"))["with a webhook"]
    panels.until(place, lambda shown: shown["with a webhook"] > late)

    model.until_asleep()
    assert installation.trigger(wakes, json=ROW).is_success
    starts = panels.until("runs | Cold starts", has("that sleeps"))
    assert starts["that sleeps"] == 1
    assert "with a webhook" not in starts
    panels.until("runs | Cold starts", has(f"boots of {model.name}, ready"))


def test_runs_that_wait_for_a_worker_and_workers_without_a_place(
    installation: Installation, panels: Panels, tmp_path: Path
) -> None:
    installation.add_model("endless", onnx_models.loop(tmp_path / "loop.onnx"))
    installation.serve("endless")
    api = {"execution_mode": "async", "deployment_type": "api"}
    deployment = installation.deploy(chain("endless"), name="waits", **api)
    for _ in range(3):
        body = {"input_data": {"x": [0.5], "trips": 10**15}}
        assert installation.trigger(deployment, json=body).is_success
    place = "runs | Age of the oldest waiting run"
    age = panels.until(place, lambda shown: shown.get("async api", 0) > 0)
    panels.until(place, lambda shown: shown["async api"] > age["async api"])
    assert panels.until("runs | Backlog", has("waits async"))["waits async"] == 3
    command = [sys.executable, "-m", "slipstream", "worker", "--concurrency", "2"]
    command += ["--state", str(installation.up.state)]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL) as worker:
        gateway = f"worker 127.0.0.1:{installation.up.port}"  # which shows the workers beside it
        panels.until("capacity | Saturation", lambda shown: shown.get(gateway) == 1)
        assert installation.http.delete(f"/node/deployments/{deployment}/").is_success
        worker.terminate()
    assert worker.returncode == 0


def test_the_version_that_each_host_runs(installation: Installation, panels: Panels) -> None:
    (host,) = installation.command("hosts", "list")["items"]
    panels.until("capacity | Running versions", has(f"{host['name']} runs {version('slipstream')}"))
