"""Real Prometheus and Alertmanager with the files of `slipstream monitoring`: panels and alerts."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.gateway.webhooks.receiver import Receiver
from tests.slipstream.running import free_port
from tests.system.flow_documents import failing_flow
from tests.system.installation import Installation, Json, chain
from tests.timing import TIMEOUT_SECONDS, pause

pytestmark = pytest.mark.services

IDLE = {
    *("ALERTS", "rollout_calls_total", "rate_limited_total", "requests_refused_total"),
    *("run_backlog", "run_boot_seconds_count"),
    *("worker_busy", "worker_concurrency", "worker_restarts_total"),
    *("webhook_delivery_seconds", "webhook_oldest_seconds"),
}
"""Metrics of what this installation does not do."""


class Prometheus:
    """A Prometheus and an Alertmanager that read the files of a folder."""

    def __init__(self, folder: Path, alertmanager: str) -> None:
        address = f"127.0.0.1:{free_port()}"
        self._log = (folder / "log").open("w+")
        self._process = self._start(
            folder,
            "prometheus",
            address,
            "--config.file=prometheus.yml",
            "--storage.tsdb.path=data",
        )
        self._alertmanager = self._start(
            folder,
            "prometheus-alertmanager",
            alertmanager,
            "--config.file=alertmanager.yml",
            "--storage.path=alertmanager",
            "--cluster.listen-address=",
        )
        self._url = f"http://{address}/api/v1/query"
        self._folder = folder

    def _start(self, folder: Path, *words: str) -> subprocess.Popen[bytes]:
        program, address, *options = words
        return subprocess.Popen(
            [program, f"--web.listen-address={address}", *options],
            cwd=folder,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    def query(self, expression: str) -> list[dict[str, object]]:
        """Return the series of the answer; none until it listens."""
        try:
            answer = httpx.get(self._url, params={"query": expression})
        except httpx.TransportError:
            assert self._process.poll() is None, (self._folder / "log").read_text()
            return []
        if answer.status_code == 503:  # it starts
            return []
        assert answer.status_code == 200, f"{expression}: {answer.text}"
        found: list[dict[str, object]] = answer.json()["data"]["result"]
        return found

    def stop(self) -> None:
        """End them."""
        for process in (self._process, self._alertmanager):
            process.terminate()
            process.wait()
        self._log.close()


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    """A process that is sent alerts."""
    made = Receiver(tmp_path_factory.mktemp("receiver"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def prometheus(
    installation: Installation, receiver: Receiver, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    """Both on what the command wrote, with seconds in place of what would take minutes."""
    folder = tmp_path_factory.mktemp("prometheus") / "watch"
    alertmanager = f"127.0.0.1:{free_port()}"
    sent_to = ("--notify", receiver.url("alerts"), "--alertmanager", alertmanager)
    installation.command("monitoring", str(folder), *sent_to)
    for name, before, now in (
        ("prometheus.yml", "_interval: 15s", "_interval: 1s"),
        ("prometheus.yml", "      - url", "      - refresh_interval: 1s\n        url"),
        ("rules.yml", "for: 5m", "for: 0s"),
        ("alertmanager.yml", "group_wait: 30s", "group_wait: 0s"),
    ):
        text = (folder / name).read_text()
        assert before in text
        (folder / name).write_text(text.replace(before, now))
    running = Prometheus(folder, alertmanager)
    yield running
    running.stop()


def queries(**chosen: str) -> Iterator[tuple[str, str]]:
    """Yield panel and query of all dashboards, with the chosen values of variables (RE2)."""
    folder = Path(__file__).parents[3] / "slipstream" / "monitoring" / "dashboards"
    for path in sorted(folder.iterdir()):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                query = target["expr"].replace("$__rate_interval", "10s")
                for name, value in chosen.items():
                    query = query.replace(f'="${name}"', f'=~"{value}"')
                yield f"{path.stem} | {panel['title']} | {target['legendFormat']}", query


def excused(query: str) -> bool:
    """Return whether the query is of something that this installation does not do."""
    names = {
        name.removesuffix(end) for name in re.findall(r"\w+", query) for end in ("", "_bucket")
    }
    return bool(names & IDLE) or 'status="failed"' in query


def test_every_panel_has_data(installation: Installation, prometheus: Prometheus) -> None:
    fast = installation.deploy(chain("iris"))
    sync = installation.deploy(chain("iris"), execution_mode="sync", deployment_type="server")
    panels = dict(queries(deployment=f"{fast}|{sync}", model="iris"))
    assert len(panels) > 80
    unanswered = dict(panels)
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while waited := {panel: query for panel, query in unanswered.items() if not excused(query)}:
        assert time.monotonic() < deadline, waited
        for deployment in (*5 * (fast,), sync):
            answer = installation.trigger(deployment, json={"input_data": {"x": [[1, 2, 3, 4]]}})
            assert answer.is_success
        for deployment in (fast, sync):
            assert installation.trigger(deployment, json={"input_data": {}}).is_error
        unanswered = {
            panel: query for panel, query in unanswered.items() if not prometheus.query(query)
        }
    targets = prometheus.query('up{job=~"slipstream.*"} == 1')
    jobs = {each["metric"]["job"] for each in targets}  # type: ignore[index]
    assert jobs == {"slipstream", "slipstream-servers"}


def test_an_alert_of_a_deployment_reaches_its_receiver(
    installation: Installation, prometheus: Prometheus, receiver: Receiver
) -> None:
    deployment = installation.deploy(
        failing_flow(),
        name="payments",
        execution_mode="sync",
        deployment_type="server",
    )
    group = {"alertname": "SlipstreamRunsFail", "deployment": deployment}
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not (delivered := deliveries(receiver, group)):
        found = prometheus.query("ALERTS")
        assert time.monotonic() < deadline, found
        for _ in range(0 if found else 10):
            assert installation.trigger(deployment, json={"input_data": {"x": 1}}).is_error
        pause(0.2)
    (alert,) = delivered[0]["alerts"]
    assert alert["status"] == "firing"
    assert alert["labels"] == {**group, "severity": "ticket"}
    assert alert["annotations"] == {
        "summary": "100% of the runs of the deployment payments fail.",
        "runbook_url": "docs/runbook.md#slipstreamrunsfail",
    }


def deliveries(receiver: Receiver, group: Json) -> list[Json]:
    """Return what Alertmanager has posted about a group of alerts."""
    documents: list[Json] = [message.event for message in receiver.messages("alerts")]
    return [document for document in documents if document["groupLabels"] == group]
