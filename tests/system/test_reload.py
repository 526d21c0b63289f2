"""`slipstream reload`: everything is replaced while clients call, and no call fails."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.fleet.hosts import LEASE_SECONDS
from slipstream.log_files import log_file
from tests.reload.load import Load, target_of
from tests.slipstream.cli import invoke
from tests.slipstream.running import NO_WORKER, Up
from tests.system.flow_documents import waiting_flow
from tests.system.installation import Installation
from tests.system.runs import MANY_SECONDS, Runs
from tests.timing import TIMEOUT_SECONDS, eventually

pytestmark = pytest.mark.processes


def reload(state: Path, *words: str, code: int = 0) -> dict[str, Any]:  # Any: JSON
    """Run the command, in this process; return what it prints."""
    unset = {name: None for name in os.environ if name.startswith("SLIPSTREAM_")}
    command = ["reload", "--json", "--state", str(state), "--timeout", "120", *words]
    done = invoke(command, env=unset)
    assert done.exit_code == code, done.output
    printed: dict[str, Any] = json.loads(done.stdout)
    return printed


def logged(up: Up) -> list[dict[str, Any]]:
    """Return the lines of the log file."""
    return [json.loads(line) for line in log_file(up.state).read_text().splitlines()]


def lease_seconds(state: Path) -> float:
    """Return for how long the lease of the host lasts."""
    with closing(sqlite3.connect(state / "slipstream.db")) as db:
        (until,) = db.execute("SELECT lease_until FROM hosts").fetchone()
    return (datetime.fromisoformat(until).replace(tzinfo=UTC) - datetime.now(UTC)).total_seconds()


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    up = Up(tmp_path / "state")
    up.until("ready for")
    return Installation(up)


def test_no_call_fails_while_everything_is_replaced(installation: Installation) -> None:
    up = installation.up
    target = target_of(installation)
    before = up.children()
    load = Load(target, clients=1, pause_seconds=0.05)
    with load.running() as outcome:
        load.until(20)
        with ThreadPoolExecutor() as reloading:
            reloaded = reloading.submit(reload, up.state)
            # The host keeps what it runs although the new program starts slowly.
            eventually(lambda: lease_seconds(up.state), lambda left: left > 2 * LEASE_SECONDS)
            assert reloaded.result() == {"reloaded": True, "pid": up.process.pid}
        assert lease_seconds(up.state) <= LEASE_SECONDS
        calls = outcome.calls
        load.until(calls + 20)
    assert not outcome.bad
    assert set(outcome.good) == {"fast, connection kept", "fast, new connection", "sync", "gRPC"}
    # What the supervisor has counted goes on, in a new program with the same process id.
    boots = 'inference_server_boots_total{cause="%s",model="iris",outcome="ready",version="1"} 1.0'
    eventually(
        lambda: installation.http.get("/metrics").text,
        lambda text: all(boots % cause in text for cause in ("start", "reload")),
    )
    after = up.children()
    assert not set(before) & set(after)
    assert len(up.gateways()) == len(up.servers()) == len(up.fork_servers()) == 1
    started = [(line["event"], line["pid"]) for line in logged(up) if "_started" in line["event"]]
    supervisors = [pid for event, pid in started if event == "supervisor_started"]
    assert supervisors == [up.process.pid] * 2
    assert len({pid for event, pid in started if event == "gateway_started"}) == 2
    # A stop during another reload ends everything.
    up.until("fork server        stopped")
    up.process.send_signal(signal.SIGHUP)
    up.until("fork server        stopped")
    installation.stop()


def pids(up: Up) -> set[int]:
    return {child.pid for child in up.children()}


def until_replaced(up: Up, before: set[int]) -> None:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while pids(up) & before:
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.long
def test_wrong_options_and_settings_change_nothing(tmp_path: Path) -> None:
    up = Up(tmp_path / "state", "--no-demo", *NO_WORKER)
    up.until("ready at")
    installation = Installation(up)
    before = pids(up)

    settings = tmp_path / "settings"
    settings.write_text("SLIPSTREAM_DRAIN_SECONDS=soon\n")
    refused = reload(up.state, "--env-file", str(settings), code=1)
    assert "SLIPSTREAM_DRAIN_SECONDS: expected" in refused["error"]["message"]
    refused = reload(up.state, "--", "--port", "1", code=1)
    assert f"port: expected {up.port} as before, got 1" in refused["error"]["message"]
    assert pids(up) == before

    # What only a gateway finds out: the old ones go on.
    missing = tmp_path / "tokens"
    settings.write_text(f"# for scrapers\nSLIPSTREAM_METRICS_TOKEN_FILE='{missing}'\n")
    failed = reload(up.state, "--env-file", str(settings), code=1)
    assert str(missing) in failed["error"]["message"]
    assert installation.http.get("/node/deployments/").status_code == 200
    installation.stop()


@pytest.mark.long
def test_options_and_settings_change(tmp_path: Path) -> None:
    up = Up(tmp_path / "state", "--no-demo", *NO_WORKER)
    up.until("ready at")
    installation = Installation(up)
    before = pids(up)

    settings = tmp_path / "settings"
    settings.write_text("SLIPSTREAM_DRAIN_SECONDS=3\n")
    reload(up.state, "--env-file", str(settings), "--", "--workers", "2", *NO_WORKER)
    assert not pids(up) & before
    gateways = up.gateways()
    assert [gateway.environ()["SLIPSTREAM_DRAIN_SECONDS"] for gateway in gateways] == ["3", "3"]
    assert "SLIPSTREAM_METRICS_TOKEN_FILE" not in gateways[0].environ()

    before = pids(up)
    up.process.send_signal(signal.SIGHUP)
    until_replaced(up, before)
    assert len(up.gateways()) == 2
    installation.stop()


@pytest.mark.long
def test_servers_that_share_processes_are_replaced(tmp_path: Path) -> None:
    up = Up(tmp_path / "state", "--models-per-process", "4", *NO_WORKER)
    up.until("ready at")
    installation = Installation(up)
    (shared,) = up.children("shared_process")
    for _ in range(2):
        before = pids(up)
        reload(up.state)
        assert not pids(up) & before
        ready = installation.http.get("/v2/models/iris/ready")
        assert ready.status_code == 200
    assert not shared.is_running()
    installation.stop()


@pytest.mark.long
def test_a_run_that_goes_on_is_handed_to_the_successor(tmp_path: Path) -> None:
    up = Up(tmp_path / "state", "--no-demo", *NO_WORKER, SLIPSTREAM_DRAIN_SECONDS="1")
    up.until("ready at")
    runs = Runs(Installation(up))
    flow = waiting_flow(MANY_SECONDS)
    deployment = runs.deploy(flow, "async", "server", retry_safe=True)
    run_id = runs.accept(deployment, {"x": 1})
    runs.until(run_id, "running")
    settings = tmp_path / "settings"
    settings.write_text("SLIPSTREAM_DRAIN_SECONDS=2\n")
    reload(up.state, "--env-file", str(settings))
    (gateway,) = up.gateways()
    assert gateway.environ()["SLIPSTREAM_DRAIN_SECONDS"] == "2"
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while (run := runs.poll(run_id).json())["status"] == "queued":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert (run["status"], run["attempt"]) == ("running", 2)
    assert runs.cancel(run_id).status_code == 202
    runs.until(run_id, "cancelled")
    runs.installation.stop()


@pytest.mark.long
@pytest.mark.parametrize("moment", ["reloading", "fork server        stopped", "listens at"])
def test_a_stop_during_a_reload_ends_everything(tmp_path: Path, moment: str) -> None:
    up = Up(tmp_path / "state", "--no-demo", *NO_WORKER)
    up.until("ready at")
    up.process.send_signal(signal.SIGHUP)
    up.until(moment)
    assert up.stop() == 0
    assert "Traceback" not in Path(up._errors.name).read_text()
