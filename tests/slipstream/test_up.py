"""`slipstream up` from the first start to the last signal."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from slipstream.supervisor.running_supervisor import running_supervisor
from tests.slipstream.cli import Cli
from tests.slipstream.running import NO_WORKER, Up, environment
from tests.timing import Timer


def run_curl(line: str) -> dict[str, Any]:
    assert line.startswith("curl ")
    result = subprocess.run(
        ["/bin/sh", "-c", line], capture_output=True, check=True, env=environment()
    )
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


def doctor(up: Up) -> tuple[int, list[dict[str, str]]]:
    """Return the exit status of `slipstream doctor`, and what it finds."""
    result = Cli(up.state).run("doctor", "--json")
    return result.exit_code, json.loads(result.stdout)["findings"]


@pytest.mark.services
def test_the_first_start_prints_a_curl_line_that_works_and_the_second_no_secret(
    tmp_path: Path,
) -> None:
    first = Up(tmp_path / "state", migrated=False)
    curl = first.until("curl ")
    answer = run_curl(curl)
    assert answer["status"] == "completed"
    assert answer["fast_mode"] is True
    assert answer["output_data"]["label"] == [0, 1, 2]
    _, to_path = first.until("export PATH=").split(maxsplit=1)
    listed = subprocess.run(
        ["/bin/sh", "-c", f"{to_path} && slipstream keys list --json --state {first.state}"],
        capture_output=True,
        check=True,
        env={**environment(), "PATH": os.defpath},
    )
    assert len(json.loads(listed.stdout)["items"]) == 1
    docs = first.until("documentation")
    assert f"{first.url}/docs" in docs
    text = "".join(first.output)
    assert "admin@localhost" in text
    assert "ready" in text
    words = shlex.split(curl)
    assert f"{first.url}/node/deployment-trigger/" in curl
    assert any(word.startswith("X-API-Key: sk-") for word in words)
    assert "Content-Type: application/json" in words
    (key,) = re.findall(r"sk-\w+", curl)
    assert text.count(key) == 1
    assert key not in first.errors
    assert first.stop(signal.SIGINT) == 0

    second = Up(
        tmp_path / "state",
        port=first.port,
        grpc_port=first.grpc_port,
        SLIPSTREAM_LOG_FORMAT="text",
        PATH=f"{sysconfig.get_path('scripts')}:{os.environ['PATH']}",
    )
    second.until("slipstream keys create")
    assert "export PATH" not in "".join(second.output)
    get_key = second.until("KEY=$(slipstream keys create")
    call = second.until("curl ")
    assert curl.split(" -H ")[0] == call.split(" -H ")[0], "the demo is what there is to call"
    second.until("documentation")
    listing = [sys.executable, "-m", "slipstream", "keys", "list", "--json"]
    keys = subprocess.run(
        [*listing, "--state", str(tmp_path / "state")],
        capture_output=True,
        check=True,
        env=environment(),
    )
    (shown,) = json.loads(keys.stdout)["items"]
    left = datetime.fromisoformat(shown["expires_at"]) - datetime.now(UTC)
    assert timedelta(hours=23) < left <= timedelta(days=1)
    assert [f"/{id_}/" in curl for id_ in shown["deployments"]] == [True]
    assert run_curl(curl)["output_data"] == answer["output_data"]
    get_key = get_key.replace("slipstream", f"{sys.executable} -m slipstream", 1)
    script = f"{get_key}\n{call}"
    called = subprocess.run(
        ["/bin/sh", "-c", script], capture_output=True, check=True, env=environment()
    )
    assert json.loads(called.stdout)["output_data"] == answer["output_data"]
    second.until("ready for")
    assert second.stop(signal.SIGTERM) == 0
    assert "sk-" not in "".join(second.output)
    assert not second.errors, "nothing but lines for people, on stdout"
    assert running_supervisor(tmp_path / "state") is None


@pytest.mark.long
@pytest.mark.services
def test_json_output_is_one_document_even_from_a_deep_folder_with_two_workers(
    tmp_path: Path,
) -> None:
    # Deeper than the path of a Unix socket may be.
    deep = tmp_path / "/".join(["a-folder-of-thirty-characters-"] * 4)
    deep.mkdir(parents=True)
    up = Up(deep / "state", "--json", "--workers", "2", *NO_WORKER)
    document = json.loads(up.until("{"))
    assert document["url"] == up.url
    assert document["ready"] is True
    console, _, token = document["console"].partition("setup#token=")
    assert console == f"{up.url}/console/"
    assert token
    assert token not in up.errors
    assert run_curl(document["demo"]["curl"])["status"] == "completed"
    assert len(up.gateways()) == 2
    assert up.stop() == 0
    assert len(up.output) == 1


def test_it_answers_before_it_is_ready(tmp_path: Path) -> None:
    up = Up(
        tmp_path / "state",
        "--no-demo",
        *NO_WORKER,
        migrated=False,
        SLIPSTREAM_LOG_FORMAT="text",
    )
    response = None
    while response is None:
        assert up.process.poll() is None
        with suppress(httpx.ConnectError):  # it has not come to open its port
            response = httpx.get(f"{up.url}/readyz")
        time.sleep(0.02)
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) >= 1
    up.until("documentation")
    assert httpx.get(f"{up.url}/readyz").status_code == 200
    assert up.stop() == 0
    assert not up.errors, "nothing but lines for people, on stdout"


def test_a_signal_during_start_up_leaves_no_process(tmp_path: Path) -> None:
    up = Up(tmp_path / "state", "--no-demo", migrated=False)
    up.until("listens")
    assert up.stop() == 0
    status, found = doctor(up)
    assert status == 1
    (down,) = (finding for finding in found if finding["subject"] == "processes")
    assert f"nothing runs on {up.state}, where `slipstream up` has run" in down["message"]


@pytest.mark.long
def test_a_second_signal_does_not_wait_for_calls_in_flight(tmp_path: Path) -> None:
    up = Up(tmp_path / "state", "--json", *NO_WORKER, SLIPSTREAM_DRAIN_SECONDS="60")
    demo = json.loads(up.until("{"))["demo"]
    with socket.create_connection(("127.0.0.1", up.port)) as caller:
        head = f"POST /node/deployment-trigger/{demo['deployment_id']}/ HTTP/1.1\r\nHost: x\r\n"
        key = f"X-API-Key: {demo['key']}\r\n"
        caller.sendall(f"{head}{key}Content-Length: 100\r\n\r\n{{".encode())
        up.process.terminate()
        with pytest.raises(subprocess.TimeoutExpired):
            up.process.wait(1.5)
        timer = Timer()
        assert up.stop() == 0
        assert timer.seconds < 3


@pytest.mark.long
def test_no_process_outlives_a_killed_supervisor(tmp_path: Path) -> None:
    up = Up(tmp_path / "state")
    up.until("documentation")
    assert len(up.children("-m")) >= 3
    assert len(up.servers()) == 1
    assert up.stop(signal.SIGKILL) == -signal.SIGKILL
    again = Up(tmp_path / "state", *NO_WORKER, port=up.port, grpc_port=up.grpc_port)
    again.until("documentation")
    assert again.stop() == 0
