"""What is said of a call's time, and of what is not known."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from gateway.calls.advice import RULES, PartKind
from gateway.calls.explanation import Explanation, explain
from gateway.calls.service import FoundCall
from gateway.deployments.settings import ExecutionMode
from gateway.runs.rows import finished_run
from gateway.runs.rows import new_run as run_of
from gateway.runs.run import FailureCode, Run, RunError, RunStatus
from gateway.runs.timeline import build_timeline
from gateway.storage.call_tables import CallRow
from gateway.storage.clock import now
from tests.architecture.repository import ROOT
from tests.gateway.runs.builders import finished, new_run

STAGES = {"auth": 1.0, "parse": 2.0, "queue": 3.0, "infer": 400.0, "serialise": 4.0}


def run(**changes: Any) -> Run:
    """Return a run that was claimed after 0.1 s, and ended a second later: Any, its fields."""
    begun = run_of(new_run(), now=now() - timedelta(minutes=1), started=True)
    started = begun.created_at + timedelta(seconds=0.1)
    nodes: dict[str, Any] = {
        "a": {"type": "inference", "started_seconds": 0.0, "duration_seconds": 0.8},
        "b": {"type": "http_request", "started_seconds": 0.2, "duration_seconds": 0.7},
    }
    nodes["b"]["attempts"] = 3
    return replace(
        begun,
        status=RunStatus.COMPLETED,
        started_at=started,
        finished_at=started + timedelta(seconds=1),
        duration_seconds=1.0,
        node_outputs=json.dumps(nodes).encode(),
        **changes,
    )


def call(mode: ExecutionMode = ExecutionMode.FAST, **changes: Any) -> CallRow:
    """Return a kept call that took half a second: Any, its columns."""
    fields = {"mode": mode, "seconds": 0.5, "phases": STAGES, "request_id": "given", **changes}
    return CallRow(code=fields.pop("code", None), **fields)


def explained(call: CallRow | None, run: Run | None) -> Explanation:
    """Explain a call and its run."""
    timeline = None if run is None else build_timeline(run, (), ())
    return explain(FoundCall(call=call, run=run, deployment_name="mine"), timeline)


def test_each_kind_has_a_rule_which_names_panels_that_exist() -> None:
    assert set(RULES) == set(PartKind)
    dashboards = (ROOT / "slipstream" / "monitoring" / "dashboards").glob("*.json")
    drawn = "".join(path.read_text() for path in dashboards)
    said = " ".join(f"{rule.cause} {rule.action}" for rule in RULES.values())
    panels = set(re.findall(r"'([A-Z][^']+)'", said))
    assert len(panels) > 5
    assert [panel for panel in panels if f'"title": "{panel}"' not in drawn] == []


def test_nodes_that_overlap_are_counted_once_and_retries_are_named() -> None:
    found = explained(None, run(attempt=2))
    shown = {part.name: round(part.seconds, 3) for part in found.parts}
    queue = "queue and earlier attempts"
    assert shown == {queue: 0.1, "a (attempt 2)": 0.8, "b (attempt 2)": 0.7, "finish": 0.1}
    assert found.seconds == pytest.approx(1.1)
    first, second, third, fourth = found.findings
    assert first.startswith("a (attempt 2) took 73 %: the model")
    assert second.startswith("b (attempt 2) took 64 %: another server")
    assert "tried 3 times" in third
    assert "started 2 times" in fourth


def test_what_the_phases_of_a_call_leave_over_is_other() -> None:
    found = explained(call(), None)
    assert [part.kind for part in found.parts] == [*STAGES, "other"]
    assert found.parts[-1].seconds == pytest.approx(0.09)
    (only,) = found.findings
    assert only.startswith("infer took 80 %: the model computed")


def test_what_is_not_known_is_said() -> None:
    quick = explained(None, finished_run(finished()))
    batch = explained(call(ExecutionMode.SYNC, phases={"auth": 1.0}), None)
    refused = explained(call(phases={}, code="rate_limited"), None)
    error = RunError(code=FailureCode.WORKER_LOST, message="gone", node_id="a")
    lost = explained(None, replace(run(), status=RunStatus.FAILED, error=error))
    assert "SLIPSTREAM_CALL_LOG=all" in quick.findings[0]
    assert "slipstream runs list --request-id given" in batch.findings[0]
    assert "other" not in {part.kind for part in batch.parts}
    assert refused.findings[0].startswith("It failed with rate_limited: A limit of the key")
    assert lost.findings[0].startswith("It failed with worker_lost, in the node 'a': ")
