"""Tables of lists at 80 columns and elsewhere, and the beginnings of ids that they show."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from gateway.deployments.settings import DeploymentType, ExecutionMode
from gateway.fleet.hosts import HostLease, HostStore
from gateway.ids import new_run_id
from gateway.runs.run import NewRun, RunError, RunResult, RunStatus
from gateway.runs.store import RunStore
from gateway.storage.change_feed import ChangeFeed
from gateway.usage.meter import UsageMeter
from gateway.usage.store import UsageStore
from gateway.webhooks.outbox import WebhookOutbox
from slipstream.list_table import ListTable
from slipstream.workspace import open_workspace, read_settings
from tests import onnx_models
from tests.gateway.usage.calls import DeploymentVersion, call
from tests.slipstream.cli import Cli, invoke
from tests.system.flow_documents import transform_flow

NAME = "Iris classifier of the shop in the old town, second try"
TERMINAL = {"TTY_COMPATIBLE": "1", "COLUMNS": "80", "NO_COLOR": "1", "TERM": "xterm"}
ZONE = f"{datetime.now().astimezone():%Z}"
LISTS = {
    "runs list": ["id", "status", "deployment", f"created ({ZONE})"],
    "keys list": ["id", "name", "state", "good for", f"expires ({ZONE})"],
    "deployments list": ["id", "name", "status", "mode", "version", f"created ({ZONE})"],
    "models list": ["name", "versions", "inference servers"],
    "webhooks list": ["id", "deployment", "state"],
    "webhooks deliveries": ["id", "status", "event", f"created ({ZONE})"],
    "hosts list": ["name", "state", "version", "replicas", "memory", f"since ({ZONE})"],
    "users list": ["e-mail", "role", "state", "last login", "password"],
    "flows list": ["id", "name", "models", f"changed ({ZONE})"],
    "audit list": [f"at ({ZONE})", "action", "what", "who"],
    "usage": ["deployment", "id", "calls", "errors"],
    "search Iris": ["kind", "id", "name", "state"],
}
"""Commands, and the first columns that they show at 80 columns."""


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Cli:
    """Commands on a state folder with something in each list."""
    cli = Cli.of_template(tmp_path_factory.mktemp("lists") / "state", sqlite_template)
    folder = cli.state.parent
    cli.answer("models", "add", str(onnx_models.mlp(folder / "mlp.onnx")), "--name", "classifier")
    (folder / "flow.json").write_text(json.dumps(transform_flow() | {"name": NAME}))
    flow = cli.answer("flows", "create", str(folder / "flow.json"))["id"]
    create = ("deployments", "create", "--flow", flow, "--mode", "async", "--no-key")
    url = "https://203.0.113.7/webhooks/of/the/shop"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLIPSTREAM_WEBHOOK_ALLOW", "203.0.113.0/24")
        deployed = [cli.answer(*create, "--callback-url", url)["id"] for _ in range(3)]
    for deployment in deployed:
        key = ("keys", "create", "--name", f"{NAME}: production", "--expires-in-days", "30")
        cli.answer(*key, "--deployment", deployment, "--environment", "production")
    asyncio.run(_fill(cli.state, flow, deployed))
    return cli


async def _fill(state: Path, flow: str, deployed: list[str]) -> None:
    """Do as a supervisor, gateways and workers do."""
    failed = RunResult(
        status=RunStatus.FAILED,
        error=RunError(code="flow_failed", message="division by zero", node_id="compute"),
        duration_seconds=12.5,
    )
    async with open_workspace(read_settings(state=state)) as workspace:
        outbox = WebhookOutbox(ChangeFeed(workspace.db), public_url="")
        hosts, runs = HostStore(workspace.db), RunStore(workspace.db, outbox=outbox)
        labels = {"accelerator": "none", "zone": "eu-central-1b"}
        lease = await hosts.claim(
            name="inference-host-17", owner="one", has_ended=lambda _: False, labels=labels
        )
        assert isinstance(lease, HostLease)
        await hosts.release(lease)  # else it ends between two listings that are compared
        meter = UsageMeter()
        millisecond = new_run_id()[:19]
        for number, deployment in enumerate(deployed):
            called = DeploymentVersion(id=deployment, profile_id=workspace.profile.id)
            call(meter, called, times=8, seconds=0.004)
            new = NewRun(
                profile_id=workspace.profile.id,
                deployment_id=deployment,
                version=1,
                flow_id=flow,
                mode=ExecutionMode.ASYNC,
                type=DeploymentType.API,
                input_data=b'{"x":1}',
                timeout_seconds=60,
                id=f"{millisecond}8{number}00-000000000000",
            )
            run = (await runs.create(new)).run
            claim = await runs.claim(run.id, "test")
            assert claim is not None
            assert await runs.finish(run.id, claim.attempt, failed)
        await UsageStore(workspace.db).write_calls([cell.snapshot() for cell in meter.unwritten()])


def lines(cli: Cli, *words: str) -> list[str]:
    """Return what a command prints on a terminal of 80 columns."""
    command = [*words, "--state", str(cli.state)]
    result = invoke(command, env=TERMINAL)
    assert result.exit_code == 0, result.output
    return [line.rstrip() for line in re.sub(r"\x1b\[\d+m", "", result.stdout).splitlines()]


def headings(line: str) -> list[str]:
    return re.split(r"  +", line)


@pytest.mark.parametrize("command", LISTS)
def test_a_list_has_a_line_of_80_columns_for_each_row(installation: Cli, command: str) -> None:
    items = installation.answer(*command.split())["items"]
    head, *rows = lines(installation, *command.split())
    assert headings(head)[: len(LISTS[command])] == LISTS[command]
    assert len(rows) == len(items) > 0
    assert all(len(line) <= 80 for line in (head, *rows))


@pytest.mark.parametrize("command", LISTS)
def test_nothing_is_cut_with_wide_or_without_a_terminal(installation: Cli, command: str) -> None:
    words = command.split()
    piped = installation.run(*words).stdout
    assert len(piped.splitlines()) == len(installation.answer(*words)["items"]) + 1
    assert "…" not in piped
    if words[0] != "search":
        assert [line.rstrip() for line in piped.splitlines()] == lines(
            installation, *words, "--wide"
        )
    assert len(headings(piped.splitlines()[0])) >= len(LISTS[command])


@pytest.mark.parametrize(
    ("listed", "shown", "field"),
    [
        ("runs list", "runs show", "flow_run_id"),
        ("keys list", "keys show", "id"),
        ("deployments list", "deployments show", "id"),
        ("deployments list", "webhooks show", "deployment_id"),
        ("flows list", "flows show", "id"),
    ],
)
def test_a_shown_id_is_taken(installation: Cli, listed: str, shown: str, field: str) -> None:
    ids = [line.split()[0] for line in lines(installation, *listed.split())[1:]]
    assert all(8 <= len(id_) < 36 for id_ in ids)
    for id_ in ids:
        assert installation.answer(*shown.split(), id_)[field].startswith(id_)


def test_options_take_the_beginning_of_an_id(installation: Cli) -> None:
    deployment = installation.answer("deployments", "list")["items"][0]["id"]
    (run,) = installation.answer("runs", "list", "--deployment", deployment[:8])["items"]
    assert run["deployment_id"] == deployment
    made = ("keys", "create", "--name", "x", "--deployment", deployment[:8])
    key = installation.answer(*made, "--deployment", deployment)
    assert key["deployments"] == [deployment]
    installation.answer("keys", "delete", key["id"][:8])


def test_names_are_taken_of_what_exists(installation: Cli) -> None:
    first = installation.answer("keys", "create", "--name", "twin")["id"]
    assert installation.answer("keys", "show", "twin")["id"] == first
    second = installation.answer("keys", "create", "--name", "twin")["id"]
    assert installation.refusal("keys", "show", "twin") == (1, "validation_failed")
    said = installation.run("keys", "show", "twin").stderr
    assert "several have the name 'twin'" in said
    assert first in said
    assert second in said
    for id_ in (first, second):
        installation.answer("keys", "delete", id_)


@pytest.mark.parametrize("text", ["nope", "00000000", "0000", "no such id"])
def test_an_unknown_beginning_is_refused(installation: Cli, text: str) -> None:
    for words in (("deployments", "show"), ("runs", "list", "--deployment"), ("keys", "delete")):
        assert installation.refusal(*words, text) == (1, "not_found")
        assert "the first 8 characters or more" in installation.run(*words, text).stderr


def test_a_beginning_of_several_ids_is_refused_with_them(installation: Cli) -> None:
    runs = [run["flow_run_id"] for run in installation.answer("runs", "list")["items"]]
    assert installation.refusal("runs", "show", runs[0][:18]) == (1, "validation_failed")
    assert all(run in installation.run("runs", "show", runs[0][:18]).stderr for run in runs)


def rendered(width: int, columns: list[str], *rows: list[Any]) -> list[str]:
    console = Console(width=width, force_terminal=False)
    with console.capture() as captured:
        console.print(ListTable(columns, rows))
    return [line.rstrip() for line in captured.get().splitlines()]


ID = "0b9c1234-0000-4000-8000-00000000000{}"


def test_ids_are_shortened_until_they_differ() -> None:
    wide = rendered(80, ["id", "name"], [ID.format(1), "a"], [ID.format(2), "b"])
    assert wide[1] == f"{ID.format(1)}  a"
    short = rendered(30, ["id", "name"], [ID.format(1), "a"], ["f" * 8 + ID.format(1)[8:], "b"])
    assert short[1:] == ["0b9c1234  a", "ffffffff  b"]
    first, second = (f"{ID[:20]}{number}{ID[21:-2]}0" for number in "12")
    same = rendered(30, ["id", "name"], [first, "a"], [second, "b"])
    assert [line.split()[0] for line in same[1:]] == [ID[:20] + "1", ID[:20] + "2"]


def test_later_columns_are_left_out_first_and_names_are_cut_last() -> None:
    columns = ["id", "name", "status", "mode", "note"]
    row = [ID.format(1), "x" * 60, "failed", "async", "n" * 30]
    assert rendered(200, columns, row)[0].split() == columns
    head, line = rendered(53, columns, row)
    assert head.split() == ["id", "name", "status", "mode"]
    assert line == f"0b9c1234  {'x' * 27}…  failed  async"
    head, line = rendered(30, columns, row)
    assert head.split() == ["id", "name", "status"]
    assert line == f"0b9c1234  {'x' * 11}…  failed"


def test_times_have_seconds_and_one_zone() -> None:
    moment = datetime(2026, 1, 31, 8, 0, 1, tzinfo=UTC)
    head, line, empty = rendered(80, ["created", "name"], [moment, "a"], [None, "b\nc"])
    assert head.startswith(f"created ({moment.astimezone():%Z})")
    assert line.split()[:2] == f"{moment.astimezone():%Y-%m-%d %H:%M:%S}".split()
    assert empty.split() == ["-", "b", "c"]
