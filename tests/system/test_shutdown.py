"""Gateways that end and are replaced: no caller gets less than an answer, no run is left behind."""

from __future__ import annotations

import json
import signal
import socket
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from tests.slipstream.running import NO_WORKER, Up
from tests.system.flow_documents import waiting_flow
from tests.system.installation import Installation
from tests.system.runs import Runs
from tests.timing import TIMEOUT_SECONDS, eventually

pytestmark = pytest.mark.processes

LONG_SECONDS = 4.0
"""Of a run: longer than the drain time, and short enough to be run again to its end."""


def started(state: Path, *options: str, **settings: str) -> Installation:
    up = Up(state, "--no-demo", *options, port=None, grpc_port=None, **settings)
    up.until("ready at")
    return Installation(up)


@pytest.fixture
def stopping(tmp_path: Path) -> Iterator[Runs]:
    """An installation with workers, whose processes drain for a second."""
    installation = started(tmp_path / "state", SLIPSTREAM_DRAIN_SECONDS="1")
    installation.up.until("ready for")
    yield Runs(installation)
    installation.http.close()


def run_states(state: Path) -> dict[str, tuple[str, str | None]]:
    """Return status and error code of all runs."""
    with closing(sqlite3.connect(state / "slipstream.db")) as db:
        rows = db.execute("SELECT id, status, error_code FROM runs").fetchall()
    return {run_id: (status, code) for run_id, status, code in rows}


def until_running(runs: Runs, count: int) -> None:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while True:
        page = runs.http.get("/node/flow-runs/", params={"status": "running"}).json()
        if len(page["items"]) == count:
            return
        assert time.monotonic() < deadline, page
        time.sleep(0.05)


def test_every_waiting_caller_is_answered_and_no_run_stays_running(
    stopping: Runs, tmp_path: Path
) -> None:
    flow = waiting_flow(LONG_SECONDS)
    with ThreadPoolExecutor() as callers:

        def call(kind: str, **settings: object) -> Future[httpx.Response]:
            deployment = stopping.deploy(flow, "sync", kind, **settings)
            return callers.submit(stopping.call, deployment, {"x": 1})

        here = call("server")
        repeatable = call("server", retry_safe=True)
        in_worker = call("api")
        deployment = stopping.deploy(flow, "async", "server")
        accepted = stopping.accept(deployment, {"x": 1})
        again = stopping.accept(stopping.deploy(flow, "async", "server", retry_safe=True), {"x": 1})
        until_running(stopping, 5)
        assert stopping.installation.up.stop() == 0
        answers = [each.result() for each in (here, repeatable, in_worker)]

    ended, goes_on, left = (answer.json() for answer in answers)
    assert (answers[0].status_code, ended["code"]) == (503, "shutting_down"), ended
    assert "retry-after" in answers[0].headers
    assert [answer.status_code for answer in answers[1:]] == [202, 202], (goes_on, left)
    assert answers[1].headers["location"] == f"/node/flow-runs/{goes_on['flow_run_id']}/"

    failed, queued = ("failed", "cancelled_by_shutdown"), ("queued", None)
    assert run_states(tmp_path / "state") == {
        ended["flow_run_id"]: failed,
        goes_on["flow_run_id"]: queued,
        left["flow_run_id"]: failed,
        accepted: failed,
        again: queued,
    }

    successor = Runs(started(tmp_path / "state", *NO_WORKER))
    for run_id in (goes_on["flow_run_id"], again):
        run = successor.until(run_id)
        assert (run["status"], run["attempt"]) == ("completed", 2)
    successor.installation.stop()


def test_connections_close_with_the_next_response_and_ports_when_balancers_know(
    tmp_path: Path,
) -> None:
    settings = {
        "SLIPSTREAM_DRAIN_DELAY_SECONDS": f"{TIMEOUT_SECONDS:.0f}",
        "SLIPSTREAM_DRAIN_SECONDS": "1",
    }
    installation = started(tmp_path / "state", *NO_WORKER, **settings)
    up = installation.up
    (gateway,) = up.gateways()
    headers = {"X-API-Key": installation.key}
    request = (
        f"GET /node/deployments/ HTTP/1.1\r\nhost: test\r\nx-api-key: {installation.key}\r\n\r\n"
    ).encode()
    with socket.create_connection(("127.0.0.1", up.port)) as client:
        client.settimeout(TIMEOUT_SECONDS)
        head = _response_head(client, request)
        assert b"connection: close" not in head
        gateway.send_signal(signal.SIGTERM)
        while b"connection: close" not in head:
            head = _response_head(client, request)
            assert head.startswith(b"HTTP/1.1 200 "), head
        assert client.recv(1) == b""
    gateway.wait(TIMEOUT_SECONDS)

    # The port stays open for a while when everything stops.
    eventually(lambda: httpx.get(f"{up.url}/readyz").status_code, lambda status: status == 200)
    up.until("gateway            ready")
    up.process.terminate()
    up.until("/readyz says draining; the ports close in 60 s")
    told = eventually(
        lambda: httpx.get(f"{up.url}/readyz"), lambda answer: answer.status_code == 503
    )
    assert told.json()["reasons"] == ["draining: the gateway shuts down"]
    assert httpx.get(f"{up.url}/node/deployments/", headers=headers).status_code == 200
    installation.stop()


@pytest.mark.long
def test_a_restarted_gateway_accepts_no_connection_before_it_is_ready(tmp_path: Path) -> None:
    installation = started(tmp_path / "state", "--workers", "2", *NO_WORKER)
    victim, _ = installation.up.gateways()
    for stop in (signal.SIGTERM, signal.SIGKILL):
        before = {each.pid for each in installation.up.gateways()}
        victim.send_signal(stop)
        victim.wait(TIMEOUT_SECONDS)
        # It is replaced while new connections go on.
        replaced = False
        while not replaced:
            answer = httpx.get(
                f"{installation.up.url}/node/deployments/",
                headers={"X-API-Key": installation.key},
                timeout=TIMEOUT_SECONDS,
            )
            assert answer.status_code == 200, answer.text
            time.sleep(0.02)  # the new process needs the processor
            lines = [line for line in installation.up.output if "gateway" in line]
            replaced = len([line for line in lines if " ready" in line]) == 2 + (
                1 if stop is signal.SIGTERM else 2
            )
        after = {each.pid for each in installation.up.gateways()}
        (victim_pid,) = after - before
        victim = next(each for each in installation.up.gateways() if each.pid == victim_pid)
    installation.stop()


def _response_head(client: socket.socket, request: bytes) -> bytes:
    """Send a request; return the head of its response, in lower case but for the first line."""
    client.sendall(request)
    received = b""
    while b"\r\n\r\n" not in received:
        part = client.recv(65536)
        assert part, "the connection was closed without a response"
        received += part
    head, _, body = received.partition(b"\r\n\r\n")
    first, _, lines = head.partition(b"\r\n")
    lines = lines.lower()
    length = int(next(line for line in lines.split(b"\r\n") if b"content-length" in line)[16:])
    while len(body) < length:
        part = client.recv(65536)
        assert part, "the connection was closed within a response"
        body += part
    json.loads(body)
    return first + b"\r\n" + lines
