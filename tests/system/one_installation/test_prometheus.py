"""A real Prometheus with the files of `slipstream monitoring` answers what operators ask."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import slipstream
from tests.dashboards.panels import dashboards, legend
from tests.services.prometheus import Prometheus
from tests.system.flow_documents import failing_flow, waiting_flow
from tests.system.installation import Installation, chain
from tests.system.one_installation.test_sleep import SleepingModel
from tests.system.one_installation.test_worker_alone import Worker
from tests.timing import TIMEOUT_SECONDS

pytestmark = pytest.mark.services

IDLE = {
    *("ALERTS", "rollout_calls_total", "rate_limited_total", "requests_refused_total"),
    *("run_backlog", "run_boot_seconds_count", "run_boot_seconds_sum"),
    *("worker_busy", "worker_concurrency", "worker_restarts_total"),
    *("webhook_delivery_seconds", "webhook_oldest_seconds"),
}
"""Metrics of what the installation does not do in the test of all panels."""
ROW = {"input_data": {"x": [[1, 2, 3, 4]]}}
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


def excused(query: str) -> bool:
    """Return whether the query is of something that this installation does not do."""
    names = {
        name.removesuffix(end) for name in re.findall(r"\w+", query) for end in ("", "_bucket")
    }
    return bool(names & IDLE) or 'status="failed"' in query


def test_every_panel_has_data(installation: Installation, prometheus: Prometheus) -> None:
    fast = installation.deploy(chain("iris"))
    sync = installation.deploy(chain("iris"), execution_mode="sync", deployment_type="server")
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


def test_panels_answer_the_questions_of_an_operator(
    installation: Installation, prometheus: Prometheus, tmp_path: Path
) -> None:
    panels = Panels(prometheus)
    names = ("good fast", "failing async", "with a webhook", "for a worker", "that sleeps")
    good, failing, hooked, queued, sleepy = names

    # Async runs that fail: the share of errors and the burn rate of that deployment.
    runs = {"execution_mode": "async", "deployment_type": "server"}
    fast = installation.deploy(chain("iris"), name=good)
    failed = installation.deploy(failing_flow(), name=failing, **runs)

    def call() -> None:
        assert installation.trigger(fast, json=ROW).is_success
        assert installation.trigger(failed, json={"input_data": {}}).status_code == 202

    ratio = panels.until("overview | Error ratio by deployment", has(failing, good), act=call)
    assert (ratio[failing], ratio[good]) == (1, 0)
    burn = panels.until("overview | Burn rate by deployment", has(failing, good), act=call)
    assert (burn[failing], burn[good]) == (pytest.approx(1000), 0)  # all, where 0.1 % may

    # Which key causes the load.
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

    # p99 by phase, deployment and node; and why calls of a deployment are slow.
    waiting = waiting_flow(PAUSE_SECONDS)
    hook = {"notification_method": "webhook", "callback_url": "https://hooks.example.com/"}
    slow = {"execution_mode": "sync", "deployment_type": "server"}
    waits = installation.deploy(waiting, name=hooked, **slow, **hook)

    def call_both() -> None:
        call()
        assert installation.trigger(waits, json={"input_data": {"x": 1}}).is_success

    phases = has("auth", "parse", "queue", "infer", "serialise")
    panels.until("fast-path | p99 by phase", phases, act=call)
    panels.until("fast-path | p99 by deployment", has(good), act=call)
    panels.until("deployment | p99 by phase", phases, act=call, deployment=fast)
    nodes = panels.until(
        "deployment | Nodes", has("wait", "api_output"), act=call_both, deployment=waits
    )
    assert nodes["wait"] >= PAUSE_SECONDS > nodes["api_output"]
    place = "deployment | Where the time goes"
    spent = panels.until(place, has("run: executes"), act=call_both, deployment=waits)
    assert max(spent, key=spent.__getitem__) == "run: executes"

    # Webhooks: no receiver has that name.
    late = panels.until("webhooks | Oldest event by deployment", has(hooked))
    panels.until(
        "webhooks | Oldest event by deployment", lambda shown: shown[hooked] > late[hooked]
    )

    # Cold starts.
    model = SleepingModel(installation, tmp_path)
    wakes = installation.deploy(chain(model.name), name=sleepy, **slow)
    model.until_asleep()
    assert installation.trigger(wakes, json=ROW).is_success
    starts = panels.until("runs | Cold starts", has(sleepy))
    assert starts[sleepy] == 1
    assert not {good, hooked} & set(starts)

    # No worker takes runs: they get older, until one that starts has its places used up.
    api = {"execution_mode": "async", "deployment_type": "api"}
    deployment = installation.deploy(waiting_flow(TIMEOUT_SECONDS), name=queued, **api)
    for _ in range(3):
        assert installation.trigger(deployment, json={"input_data": {"x": 1}}).is_success
    place = "runs | Age of the oldest waiting run"
    age = panels.until(place, lambda shown: shown.get("async api", 0) > 0)
    panels.until(place, lambda shown: shown["async api"] > age["async api"])
    assert panels.until("runs | Backlog", has(f"{queued} async"))[f"{queued} async"] == 3
    worker = Worker(installation)
    gateway = f"127.0.0.1:{installation.up.port}"  # it knows each queue worker of its machine
    panels.until("capacity | Saturation", lambda shown: shown.get(f"worker {gateway}") == 1)
    assert installation.http.delete(f"/node/deployments/{deployment}/").is_success
    worker.process.terminate()
    assert worker.process.wait(TIMEOUT_SECONDS) == 0

    # Versions of hosts.
    (host,) = installation.command("hosts", "list")["items"]
    assert f"{host['name']} runs {slipstream.__version__}" in panels.shown(
        "capacity | Running versions"
    )


def has(*names: str) -> Callable[[dict[str, float]], bool]:
    """Return a condition: the panel shows lines of these names."""
    return lambda shown: set(names) <= set(shown)
