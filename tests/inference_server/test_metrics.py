"""What Prometheus reads."""

from __future__ import annotations

import shutil
import socket
import subprocess
import urllib.error
import urllib.request
from urllib.parse import urlsplit

import grpc.aio
import httpx
import numpy as np
import pytest

from tests.inference_server.conftest import Connect, StartServer
from tests.inference_server.requests import infer_request


async def test_calls_are_counted_by_what_became_of_them(
    start_server: StartServer, connect: Connect
) -> None:
    server = start_server("gather")
    stub = connect(server)
    for index, times in ((0, 3), (9, 2)):
        for _ in range(times):
            request = infer_request("gather", {"index": ("INT64", np.array([index]))})
            try:
                await stub.ModelInfer(request)
            except grpc.aio.AioRpcError:
                assert index == 9
    with pytest.raises(grpc.aio.AioRpcError):
        await stub.ModelInfer(infer_request("gather", {}))
    for code, count in (("ok", 3), ("input_rejected", 2), ("invalid_tensor", 1)):
        counted = server.sample("inference_requests_total", model="gather", version="1", code=code)
        assert counted == count
    assert server.sample("inference_seconds_count") == 3
    assert server.sample("inference_queue_seconds_count") == 3
    assert server.sample("inference_batch_size_sum") == 3
    assert server.sample("inference_queue_depth") == 0


def test_state_and_boot_are_shown(start_server: StartServer) -> None:
    server = start_server("mlp")
    assert server.sample("inference_server_state", state="ready") == 1
    assert server.sample("inference_server_state", state="booting") == 0
    for phase in ("spawning", "loading", "warming"):
        seconds = server.sample("inference_server_boot_seconds", model="mlp", phase=phase)
        assert seconds is not None
        assert seconds > 0


@pytest.mark.services
def test_promtool_finds_no_problem(shared_server: StartServer) -> None:
    promtool = shutil.which("promtool")
    assert promtool, "install the Debian package prometheus"
    server = shared_server("mlp")
    found = subprocess.run(
        [promtool, "check", "metrics"], input=server.metrics(), capture_output=True, check=False
    )
    assert (found.returncode, found.stdout + found.stderr) == (0, b"")


def test_the_metrics_port_serves_nothing_else(shared_server: StartServer) -> None:
    server = shared_server("mlp")
    for url, method, status in (
        (server.metrics_url.removesuffix("metrics"), "GET", 404),
        (server.metrics_url, "POST", 405),
    ):
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(urllib.request.Request(url, method=method))
        assert caught.value.code == status
        caught.value.close()


@pytest.mark.parametrize(
    ("model", "until", "status", "state"),
    [("mlp", "ready", 200, "ready"), ("sequence", "failed", 503, "failed")],
)
def test_probes_say_whether_the_model_is_ready(
    start_server: StartServer, model: str, until: str, status: int, state: str
) -> None:
    server = start_server(model, until=until)
    base = server.metrics_url.removesuffix("/metrics")
    live, ready = httpx.get(f"{base}/livez"), httpx.get(f"{base}/readyz")
    assert (live.status_code, live.json()) == (200, {"live": True})
    assert ready.status_code == status
    assert ready.json() == {"ready": status == 200, "state": state}


@pytest.mark.long
def test_a_server_that_boots_is_live_and_not_ready(start_server: StartServer) -> None:
    server = start_server("slow_to_load", until="listening")
    base = server.metrics_url.removesuffix("/metrics")
    assert httpx.get(f"{base}/livez").status_code == 200
    ready = httpx.get(f"{base}/readyz")
    assert (ready.status_code, ready.json()["state"]) == (503, "booting")
    assert ready.json()["phase"] in {"spawning", "loading", "warming"}


def test_garbage_on_the_metrics_port_is_ignored(shared_server: StartServer) -> None:
    server = shared_server("mlp")
    address = urlsplit(server.metrics_url)
    for nonsense in (b"\r\n\r\n", b"GET\r\n\r\n", b"x" * 200_000, b"\xff\0 \xff\r\n\r\n"):
        with socket.create_connection((address.hostname or "", address.port or 0)) as client:
            client.sendall(nonsense)
    assert b"inference_requests_total" in server.metrics()
    assert "Traceback" not in server.log()
