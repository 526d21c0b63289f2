"""`slipstream status` on a state folder of its own, and what `doctor` says of the same."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta

import pytest
from sqlalchemy import update

from gateway.storage.clock import now
from gateway.storage.webhook_tables import WebhookEndpoint
from gateway.system.state import QueueState
from slipstream.doctor.activity import check_backlog
from slipstream.doctor.finding import Level
from slipstream.workspace import open_workspace, read_settings
from tests.slipstream.cli import Cli
from tests.slipstream.test_usage_command import count
from tests.system.flow_documents import transform_flow

URL = "https://receiver.example/hook"


def pause_webhooks(cli: Cli) -> None:
    """Do as a gateway whose deliveries have failed."""

    async def work() -> None:
        async with (
            open_workspace(read_settings(state=cli.state)) as workspace,
            workspace.db.write() as session,
        ):
            later = now() + timedelta(hours=1)
            await session.execute(update(WebhookEndpoint).values(failures=5, paused_until=later))

    asyncio.run(work())


def test_an_installation_that_does_not_run_is_not_well(cli: Cli) -> None:
    result = cli.run("status", "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert (found["healthy"], found["pid"]) == (False, None)
    assert any("none is running" in problem for problem in found["problems"])
    assert "no run waits" in cli.run("status").stdout


@pytest.mark.processes
def test_status_and_doctor_show_calls_backlog_and_webhooks(cli: Cli) -> None:
    _, deployment = cli.deploy(
        transform_flow(), "--mode", "async", "--name", "Adder", "--callback-url", URL
    )
    count(cli, deployment, times=8)
    count(cli, deployment, error="overloaded", times=2)
    count(cli, deployment, ago=timedelta(minutes=30), error="overloaded", times=9)
    assert json.loads(cli.run("status", "--json").stdout)["webhooks"] == []

    pause_webhooks(cli)
    result = cli.run("status", "--json")
    found = json.loads(result.stdout)
    (adder,) = found["deployments"]
    assert (adder["name"], adder["errors"], adder["queued"]) == ("Adder", 2, 0)
    assert 10 / 5 <= adder["calls_per_minute"] <= 10 / 4
    (webhook,) = found["webhooks"]
    assert (webhook["deployment"], webhook["trouble"], webhook["failures"]) == (
        "Adder",
        "paused",
        5,
    )
    assert "webhook of Adder: paused" in cli.run("status").stdout
    findings = json.loads(cli.run("doctor", "--json").stdout)["findings"]
    (finding,) = [it for it in findings if it["subject"] == "webhook"]
    assert finding["level"] == "warning"
    assert "Adder is paused, after 5 attempts" in finding["message"]
    cli.answer("webhooks", "set", deployment, "--disable")
    assert json.loads(cli.run("status", "--json").stdout)["webhooks"] == []


@pytest.mark.parametrize(
    ("oldest", "level"), [(None, Level.GOOD), (59.0, Level.GOOD), (61.0, Level.WARNING)]
)
def test_doctor_warns_of_runs_that_wait_for_long(oldest: float | None, level: Level) -> None:
    queue = QueueState(name="async", depth=0 if oldest is None else 3, oldest_seconds=oldest)
    (finding,) = check_backlog([queue])
    assert finding.level is level
    assert str(queue.depth) in finding.message
