"""`slipstream info`, `system` and `events` on a state folder of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest

from tests.slipstream.cli import Cli
from tests.slipstream.running import environment
from tests.timing import TIMEOUT_SECONDS


def test_info_says_what_the_route_says(cli: Cli) -> None:
    found = cli.answer("info")
    assert found["setup_required"] is True
    assert found["limits"]["max_body_bytes"] == 64 << 20
    assert found["deployment_defaults"]["execution_mode"] == "sync"
    assert "retention days" in cli.run("info").stdout


def test_a_system_without_a_gateway_has_a_problem(cli: Cli) -> None:
    result = cli.run("system", "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert "gateways" in [problem["area"] for problem in found["problems"]]
    assert found["database"]["kind"] == "sqlite"
    shown = cli.run("system")
    assert shown.exit_code == 1
    for problem in found["problems"]:
        assert problem["text"] in shown.stdout
        assert problem["advice"] in shown.stdout
    assert "No gateway and no worker" in shown.stdout


@pytest.mark.processes
def test_events_are_printed_as_they_happen(cli: Cli) -> None:
    cli.answer("keys", "list")  # makes the tables
    command = [sys.executable, "-m", "slipstream", "events", "--topic", "keys", "--json"]
    command += ["--seconds", str(TIMEOUT_SECONDS)]
    command += ["--state", str(cli.state)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    ) as events:
        assert events.stdout is not None
        assert events.stderr is not None
        assert "Waiting for changes" in events.stderr.readline()
        made = cli.answer("keys", "create", "--name", "shop")["id"]
        found = json.loads(events.stdout.readline())
        events.send_signal(signal.SIGINT)
        rest, errors = events.communicate(timeout=TIMEOUT_SECONDS)
    assert found == {"topic": "keys", "id": made}
    assert (events.returncode, rest, errors) == (0, "", "")


def test_an_unknown_topic_is_refused(cli: Cli) -> None:
    result = cli.run("events", "--topic", "nothing")
    assert result.exit_code == 2
    assert "'nothing' is not one of" in result.stderr
