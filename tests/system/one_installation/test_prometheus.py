"""A real Prometheus with the files of `slipstream monitoring` answers the query of every panel."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.slipstream.running import free_port
from tests.system.installation import Installation, chain
from tests.timing import TIMEOUT_SECONDS

pytestmark = pytest.mark.services

IDLE = {
    *("ALERTS", "rollout_calls_total", "rate_limited_total", "requests_refused_total"),
    *("run_backlog", "run_boot_seconds_count"),
    *("worker_busy", "worker_concurrency", "worker_restarts_total"),
    *("webhook_delivery_seconds", "webhook_oldest_seconds"),
}
"""Metrics of what this installation does not do."""


class Prometheus:
    """A Prometheus that reads the files of a folder."""

    def __init__(self, folder: Path) -> None:
        address = f"127.0.0.1:{free_port()}"
        self._log = (folder / "log").open("w+")
        self._process = subprocess.Popen(
            [
                "prometheus",
                "--config.file=prometheus.yml",
                "--storage.tsdb.path=data",
                f"--web.listen-address={address}",
            ],
            cwd=folder,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        self._url = f"http://{address}/api/v1/query"
        self._folder = folder

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
        """End it."""
        self._process.terminate()
        self._process.wait()
        self._log.close()


@pytest.fixture
def prometheus(installation: Installation, tmp_path: Path) -> Iterator[Prometheus]:
    """Prometheus on what the command wrote, with one second in place of 15."""
    folder = tmp_path / "watch"
    installation.command("monitoring", str(folder))
    configuration = folder / "prometheus.yml"
    text = configuration.read_text().replace("_interval: 15s", "_interval: 1s")
    configuration.write_text(
        text.replace(
            "http_sd_configs:\n      - ", "http_sd_configs:\n      - refresh_interval: 1s\n        "
        )
    )
    running = Prometheus(folder)
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
