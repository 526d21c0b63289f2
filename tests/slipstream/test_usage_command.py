"""`slipstream usage` on a state folder of its own."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.usage.meter import UsageMeter
from gateway.usage.store import UsageStore
from slipstream.commands.usage import sparkline
from slipstream.workspace import open_workspace, read_settings
from tests.gateway.usage.calls import DeploymentVersion, call
from tests.slipstream.cli import Cli
from tests.system.flow_documents import transform_flow

NOWHERE = "00000000-0000-4000-8000-000000000000"


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> tuple[Cli, str]:
    """A state folder to copy, and the id of its deployment, which is called `Adder`."""
    cli = Cli.of_template(tmp_path_factory.mktemp("deployed") / "state", sqlite_template)
    return cli, cli.deploy(transform_flow(), "--mode", "async", "--name", "Adder")[1]


@pytest.fixture
def cli(deployed: tuple[Cli, str], new_cli: Cli) -> Cli:
    """Commands on a copy."""
    return deployed[0].copy(new_cli.state)


@pytest.fixture
def deployment(deployed: tuple[Cli, str]) -> str:
    """The id of the deployment."""
    return deployed[1]


def count(
    cli: Cli,
    deployment: str,
    *,
    ago: timedelta = timedelta(),
    error: str | None = None,
    times: int = 1,
) -> None:
    """Do as a gateway that has answered calls."""

    async def work() -> None:
        async with open_workspace(read_settings(state=cli.state)) as workspace:
            meter = UsageMeter()
            called = DeploymentVersion(id=deployment, profile_id=workspace.profile.id)
            call(meter, called, times=times, seconds=0.004, error=error)
            (cell,) = meter.unwritten()
            cell.minute -= int(ago.total_seconds()) // 60 * 60
            await UsageStore(workspace.db).write_calls([cell.snapshot()])

    asyncio.run(work())


def test_a_table_has_a_row_and_a_sparkline_for_each_deployment(cli: Cli, deployment: str) -> None:
    count(cli, deployment, times=8)
    count(cli, deployment, ago=timedelta(hours=12), times=4)
    count(cli, deployment, error="overloaded")
    result = cli.run("usage")
    assert result.exit_code == 0, result.output
    head, row = result.stdout.splitlines()
    assert head.split()[:6] == ["deployment", "id", "calls", "errors", "runs", "failed"]
    assert row.split()[:6] == ["Adder", deployment, "13", "1", "0", "0"]
    assert "4." in row.split()[6] or "3.9" in row.split()[6]
    assert row.rstrip().endswith("█")
    assert "▄" in row


def test_the_json_document_is_that_of_rest(cli: Cli, deployment: str) -> None:
    count(cli, deployment, times=3)
    count(cli, deployment, ago=timedelta(hours=30), times=5)
    document = cli.answer("usage")
    assert set(document) == {"from", "to", "by", "step", "items"}
    (item,) = document["items"]
    assert (item["calls"], item["deployment_name"]) == (3, "Adder")
    (item,) = cli.answer("usage", "--last", "2d")["items"]
    assert item["calls"] == 8
    (item,) = cli.answer("usage", "--last", "15m", "--by", "version")["items"]
    assert (item["calls"], item["version"]) == (3, 1)
    assert cli.answer("usage", "--deployment", NOWHERE)["items"] == []


@pytest.mark.parametrize("by", ["deployment", "version", "key", "code", "all"])
def test_each_grouping_has_a_table(cli: Cli, deployment: str, by: str) -> None:
    count(cli, deployment, times=3)
    count(cli, deployment, error="overloaded")
    result = cli.run("usage", "--by", by)
    assert result.exit_code == 0, result.output
    rows = result.stdout.splitlines()[1:]
    assert len(rows) == (2 if by == "code" else 1)
    assert ("p50" in result.stdout) == (by != "code")


def test_a_heat_map_has_a_row_for_each_range_of_durations(cli: Cli, deployment: str) -> None:
    count(cli, deployment, times=3)
    count(cli, deployment, ago=timedelta(minutes=30), times=2)
    grid = cli.answer("usage", "--heatmap", "--last", "1h")
    assert set(grid) == {"times", "bounds_seconds", "counts"}
    assert [sum(column) for column in grid["counts"] if any(column)] == [2, 3]
    head, row = cli.run("usage", "--heatmap", "--last", "1h").stdout.splitlines()
    assert head.split()[:2] == ["took", "calls"]
    assert row.startswith("3.91 ms to 4.39 ms  5 ")
    assert row.rstrip().endswith("█")
    nothing = cli.run("usage", "--heatmap", "--version", "2").stdout
    assert nothing == "No calls in that time.\n"


def test_usage_without_calls_is_reported(cli: Cli) -> None:
    assert cli.run("usage").stdout == "No calls in that time.\n"


@pytest.mark.parametrize("last", ["", "24", "h", "0h", "-1d", "1w", "999999d", "1.5h"])
def test_an_invalid_period_is_refused(cli: Cli, last: str) -> None:
    assert cli.refusal("usage", "--last", last) == (1, "validation_failed")


def test_the_bars_of_a_sparkline_are_proportional() -> None:
    assert sparkline([]) == ""
    assert sparkline([0, 0]) == "  "
    assert sparkline([1, 0, 2, 4, 8]) == "▁ ▂▄█"
    assert sparkline([1, 1000]) == "▁█"


def test_advice_names_the_setting_and_its_value(cli: Cli, deployment: str) -> None:
    assert cli.answer("deployments", "advice", deployment) == {"items": []}
    assert "nothing to advise" in cli.run("deployments", "advice", deployment).stdout
    cli.answer("deployments", "set", deployment, "--calls-per-minute", "60")
    count(cli, deployment, times=30)
    count(cli, deployment, error="rate_limited", times=10)
    (advice,) = cli.answer("deployments", "advice", deployment)["items"]
    assert (advice["code"], advice["fix"]["field"]) == ("rate_limited", "limits")
    shown = " ".join(cli.run("deployments", "advice", deployment).stdout.split())
    assert 'limits = {"calls_per_minute":120}' in shown
