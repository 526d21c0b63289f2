"""`slipstream runs` on a state folder of its own: what workers would do, the tests do."""

from __future__ import annotations

import asyncio
import json
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import pytest

from gateway.deployments.settings import DeploymentType, ExecutionMode
from gateway.metrics import GatewayMetrics
from gateway.runs.run import NewRun, RunError, RunResult, RunStatus
from gateway.runs.store import RunStore
from gateway.usage.run_counter import RunCounter
from gateway.usage.store import UsageStore
from slipstream.workspace import Workspace, open_workspace, read_settings
from tests.slipstream.cli import Cli
from tests.slipstream.running import environment
from tests.system.flow_documents import transform_flow
from tests.timing import TIMEOUT_SECONDS

T = TypeVar("T")

COMPLETED = RunResult(
    status=RunStatus.COMPLETED,
    output_data=b'{"y":2}',
    node_outputs=b'{"compute":{"name":"compute","type":"transform","status":"completed",'
    b'"output":{"y":2},"duration_seconds":0.0015}}',
    duration_seconds=1.5,
)
FAILED = RunResult(
    status=RunStatus.FAILED,
    error=RunError(code="flow_failed", message="division by zero", node_id="compute"),
    duration_seconds=0.25,
)
NOWHERE = "00000000-0000-4000-8000-000000000000"


class RunFixture:
    """The commands, and a deployment whose runs begin and end as a test says."""

    def __init__(self, cli: Cli, flow_id: str, deployment: str) -> None:
        self.cli = cli
        self._flow_id = flow_id
        self.deployment = deployment

    def begin(self, mode: ExecutionMode = ExecutionMode.ASYNC, **labels: str) -> str:
        """Insert a queued run; return its id."""

        async def work(workspace: Workspace, store: RunStore) -> str:
            new = NewRun(
                profile_id=workspace.profile.id,
                deployment_id=self.deployment,
                version=1,
                flow_id=self._flow_id,
                mode=mode,
                type=DeploymentType.API,
                input_data=b'{"x":1}',
                timeout_seconds=60,
                labels=labels or None,
            )
            return (await store.create(new)).run.id

        return self._do(work)

    def end(self, run_id: str, ending: RunResult) -> str:
        """Execute the run as a worker would; return its id."""

        return self.finish(run_id, self.take(run_id), ending)

    def take(self, run_id: str) -> int:
        """Claim the run as a worker would; return the attempt."""

        async def work(_: Workspace, store: RunStore) -> int:
            claim = await store.claim(run_id, "test")
            assert claim is not None
            return claim.attempt

        return self._do(work)

    def report(self, run_id: str, attempt: int, data: bytes) -> None:
        """Report the first node as a worker would."""

        async def work(_: Workspace, store: RunStore) -> None:
            assert await store.report(run_id, attempt, {"input": data})

        self._do(work)

    def finish(self, run_id: str, attempt: int, ending: RunResult) -> str:
        """Finish the run as a worker would; return its id."""

        async def work(_: Workspace, store: RunStore) -> str:
            assert await store.finish(run_id, attempt, ending)
            return run_id

        return self._do(work)

    def count(self) -> None:
        """Count the ended runs in usage as a gateway would."""

        async def work(workspace: Workspace, _: RunStore) -> None:
            counter = RunCounter(UsageStore(workspace.db), GatewayMetrics(), behind=-1)
            assert await counter.count()

        self._do(work)

    def _do(self, work: Callable[[Workspace, RunStore], Awaitable[T]]) -> T:
        async def opened() -> T:
            async with open_workspace(read_settings(state=self.cli.state)) as workspace:
                return await work(workspace, RunStore(workspace.db))

        return asyncio.run(opened())


@pytest.fixture(scope="module")
def deployed(
    tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path
) -> tuple[Cli, str, str]:
    """A state folder to copy, and the ids of its flow and deployment."""
    cli = Cli.of_template(tmp_path_factory.mktemp("deployed") / "state", sqlite_template)
    return cli, *cli.deploy(transform_flow(), "--mode", "async")


@pytest.fixture
def runs(deployed: tuple[Cli, str, str], new_cli: Cli) -> RunFixture:
    cli, flow_id, deployment = deployed
    return RunFixture(cli.copy(new_cli.state), flow_id, deployment)


def test_runs_are_listed_newest_first_with_filters_and_pages(runs: RunFixture) -> None:
    assert runs.cli.answer("runs", "list") == {"items": [], "next_cursor": None}
    assert "No runs match" in runs.cli.run("runs", "list").stdout
    done, failed, queued = (runs.begin() for _ in range(3))
    runs.end(done, COMPLETED)
    runs.end(failed, FAILED)

    def ids(*words: str) -> list[str]:
        items = runs.cli.answer("runs", "list", *words)["items"]
        return [item["flow_run_id"] for item in items]

    assert ids() == [queued, failed, done]
    assert ids("--status", "failed") == [failed]
    assert ids("--deployment", runs.deployment, "--version", "1") == [queued, failed, done]
    assert ids("--deployment", NOWHERE) == []
    assert ids("--code", "flow_failed") == [failed]
    assert ids("--mode", "fast") == []
    assert ids("--min-seconds", "1") == [done]
    assert ids("--key", NOWHERE) == []
    assert ids("--from", "2999-01-01") == []
    assert ids("--to", "2999-01-01") == [queued, failed, done]
    page = runs.cli.answer("runs", "list", "--limit", "2")
    assert ids("--cursor", page["next_cursor"]) == [done]
    shown = runs.cli.run("runs", "list", "--limit", "2")
    assert f"--cursor {page['next_cursor']}" in shown.stderr
    assert "flow_failed" in shown.stdout
    assert runs.cli.run("runs", "list", "--status", "lost").exit_code == 2


def test_runs_are_listed_by_their_labels_which_are_shown(runs: RunFixture) -> None:
    run_id, _ = runs.begin(order="42", team="growth"), runs.begin(order="42")
    both = ["--metadata", "order=42", "--metadata", "team=growth"]
    (found,) = runs.cli.answer("runs", "list", *both)["items"]
    assert (found["flow_run_id"], found["metadata"]) == (run_id, {"order": "42", "team": "growth"})
    assert len(runs.cli.answer("runs", "list", "--metadata", "order=42")["items"]) == 2
    assert runs.cli.answer("runs", "list", "--metadata", "order=4")["items"] == []
    assert "order=42, team=growth" in runs.cli.run("runs", "show", run_id).stdout
    for given, said in (("order", "expected KEY=VALUE"), ("Order=42", "expected a key of at most")):
        refused = runs.cli.run("runs", "list", "--metadata", given)
        assert refused.exit_code == 2
        assert said in " ".join(refused.stderr.split())


def test_a_run_is_shown_with_its_nodes_and_its_result(runs: RunFixture) -> None:
    run_id = runs.end(runs.begin(), COMPLETED)
    shown = runs.cli.answer("runs", "show", run_id)
    assert shown["status"] == "completed"
    assert shown["output_data"] == {"y": 2}
    assert shown["node_outputs"]["compute"]["type"] == "transform"
    assert "data" not in shown
    text = runs.cli.run("runs", "show", run_id).stdout
    assert "1.5 s" in text
    assert "compute" in text
    assert '{"y":2}' in text


def test_the_timeline_has_a_bar_for_each_span(runs: RunFixture) -> None:
    nodes = {
        "compute": {
            "name": "compute",
            "type": "transform",
            "status": "failed",
            "duration_seconds": 0.25,
            "started_seconds": 0.01,
            "error": {"code": "expression_failed", "message": "division by zero"},
        },
        "old": {"name": "old", "type": "wait", "status": "completed", "duration_seconds": 1},
    }
    run_id = runs.end(runs.begin(), replace(FAILED, node_outputs=json.dumps(nodes).encode()))
    shown = runs.cli.answer("runs", "timeline", run_id)
    assert [span["kind"] for span in shown["spans"]] == ["queue", "claim", *["node"] * 2, "finish"]
    result = runs.cli.run("runs", "timeline", run_id)
    line = next(line for line in result.stdout.splitlines() if "compute" in line)
    assert "█" in line
    assert "expression_failed: division by zero" in line
    assert "no start times of nodes" in result.stderr
    first = runs.cli.run("runs", "timeline", run_id, "--limit", "2")
    assert "--cursor claim" in first.stderr
    left = runs.cli.answer("runs", "timeline", run_id, "--cursor", "claim")["spans"]
    assert [span["id"] for span in left] == ["node:compute", "node:old", "finish"]


def test_a_failed_run_is_shown_with_its_node_and_reason(runs: RunFixture) -> None:
    run_id = runs.end(runs.begin(), FAILED)
    text = runs.cli.run("runs", "show", run_id).stdout
    assert "flow_failed (node 'compute'): division by zero" in text


def test_the_exit_status_of_wait_tells_whether_the_run_completed(runs: RunFixture) -> None:
    done, failed = runs.end(runs.begin(), COMPLETED), runs.end(runs.begin(), FAILED)
    assert runs.cli.answer("runs", "wait", done)["status"] == "completed"
    result = runs.cli.run("runs", "wait", failed, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["error"]["code"] == "flow_failed"


def test_wait_waits(runs: RunFixture) -> None:
    run_id = runs.begin()
    worker = threading.Timer(0.5, runs.end, (run_id, COMPLETED))
    worker.start()
    result = runs.cli.run("runs", "wait", run_id)
    worker.join()
    assert result.exit_code == 0, result.output
    assert f"Run {run_id} is completed after 1.5 s" in result.stdout
    assert "Waiting" in result.stderr


def test_wait_stops_after_its_timeout(runs: RunFixture) -> None:
    assert runs.cli.refusal("runs", "wait", runs.begin(), "--timeout", "0") == (1, "not_ended")


def test_a_run_is_cancelled_and_one_that_has_ended_is_not(runs: RunFixture) -> None:
    run_id = runs.begin()
    assert runs.cli.answer("runs", "cancel", run_id)["status"] == "cancelled"
    assert runs.cli.answer("runs", "cancel", run_id)["status"] == "cancelled"
    done = runs.end(runs.begin(), COMPLETED)
    assert runs.cli.refusal("runs", "cancel", done) == (1, "run_finished")
    (act,) = runs.cli.answer("audit", "list", "--kind", "run")["items"]
    assert (act["action"], act["subject_id"]) == ("run.cancel", run_id)
    assert (act["actor_name"], act["address"]) == ("admin@localhost", None)


def test_a_failed_run_is_retried(runs: RunFixture) -> None:
    failed = runs.end(runs.begin(), FAILED)
    again = runs.cli.answer("runs", "retry", failed)
    assert again["status"] == "queued"
    assert again["retry_of"] == failed
    done = runs.end(again["flow_run_id"], COMPLETED)
    assert runs.cli.refusal("runs", "retry", done) == (1, "conflict")
    (act,) = runs.cli.answer("audit", "list", "--kind", "run")["items"]
    assert (act["action"], act["after"]["retry_of"]) == ("run.retry", failed)


def test_the_call_of_a_run_is_printed(runs: RunFixture) -> None:
    run_id = runs.begin()
    printed = runs.cli.run("runs", "curl", run_id, "--key", "environment").stdout
    words = shlex.split(printed, comments=True)
    url = f"/node/deployment-trigger/{runs.deployment}/?version=1"
    assert any(word.endswith(url) for word in words), words
    assert '{"input_data": {"x": 1}}' in words
    items = runs.cli.answer("runs", "curl", run_id)["items"]
    assert {item["language"] for item in items} == {"curl"}
    assert runs.cli.refusal("runs", "curl", NOWHERE) == (1, "not_found")


def test_the_input_of_a_fast_call_is_not_kept(runs: RunFixture) -> None:
    run_id = runs.begin(mode=ExecutionMode.FAST)
    assert runs.cli.refusal("runs", "curl", run_id) == (1, "conflict")


def test_finished_runs_are_deleted(runs: RunFixture) -> None:
    done = runs.end(runs.begin(), COMPLETED)
    failed, queued = runs.end(runs.begin(), FAILED), runs.begin()
    runs.count()
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).date().isoformat()
    words = ("runs", "delete", "--before", tomorrow)
    assert runs.cli.answer(*words, "--status", "failed") == {"deleted": 1}
    assert runs.cli.refusal("runs", "show", failed) == (1, "not_found")
    assert "1 runs deleted." in runs.cli.run(*words).stdout
    assert runs.cli.refusal("runs", "show", done) == (1, "not_found")
    assert runs.cli.answer("runs", "show", queued)["status"] == "queued"


def test_an_unknown_run_is_not_found(runs: RunFixture) -> None:
    for command in ("show", "wait", "cancel", "retry"):
        assert runs.cli.refusal("runs", command, NOWHERE) == (1, "not_found")


def test_tail_prints_new_runs_their_nodes_and_their_results(runs: RunFixture) -> None:
    before = runs.end(runs.begin(), COMPLETED)
    command = [sys.executable, "-m", "slipstream", "runs", "tail", "--json"]
    command += ["--state", str(runs.cli.state)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    ) as tail:
        assert tail.stdout is not None
        assert tail.stderr is not None
        assert "Waiting for runs" in tail.stderr.readline()
        run_id = runs.begin()
        first = json.loads(tail.stdout.readline())
        attempt = runs.take(run_id)
        assert json.loads(tail.stdout.readline())["status"] == "running"
        runs.report(run_id, attempt, b'{"status":"completed","duration_seconds":0.1}')
        node = json.loads(tail.stdout.readline())
        runs.finish(run_id, attempt, FAILED)
        second = json.loads(tail.stdout.readline())
        tail.send_signal(signal.SIGINT)
        rest, errors = tail.communicate(timeout=TIMEOUT_SECONDS)
    assert first["flow_run_id"] == second["flow_run_id"] == run_id != before
    assert (first["status"], second["status"]) == ("queued", "failed")
    assert (node["flow_run_id"], node["node_id"]) == (run_id, "input")
    assert node["node"]["status"] == "completed"
    assert second["error"]["node_id"] == "compute"
    assert (tail.returncode, rest, errors) == (0, "", "")


def test_a_draft_is_tested_by_a_gateway(runs: RunFixture, tmp_path: Path) -> None:
    file = tmp_path / "draft.json"
    file.write_text(json.dumps(transform_flow()))
    words = ("flows", "test", str(file), "--input", '{"x": 1}', "--no-wait")
    made = runs.cli.answer(*words)
    assert (made["status"], made["test"]) == ("queued", True)
    assert runs.cli.answer("runs", "show", made["flow_run_id"])["test"] is True
    pins = ("--only", "output", "--pins", '{"nope": 1}')
    assert runs.cli.refusal(*words, *pins) == (1, "validation_failed")
