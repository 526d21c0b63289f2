"""Where a server listens: sockets and ports that are free, stale, in use or invalid."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest

from tests.inference_server.conftest import Publish, StartServer
from tests.inference_server.process import InferenceProcess


def test_a_stale_socket_of_a_dead_server_is_replaced(publish: Publish, socket_folder: Path) -> None:
    for _ in range(2):
        with InferenceProcess(publish("mlp"), "mlp", socket_folder) as server:
            server.wait_for("ready")
            os.kill(server.process.pid, signal.SIGKILL)
            server.ended()
            assert server.socket.exists()


@pytest.mark.parametrize("option", ["--tcp", "--metrics"])
def test_a_port_in_use_is_reported_in_one_line(
    publish: Publish, socket_folder: Path, option: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with InferenceProcess(publish("mlp"), "mlp", socket_folder, option, address) as server:
            assert address in server.wait_for("failed")["message"]
            assert server.ended() == 1
            assert f"inference_server: {option[2:]}: cannot listen on {address}" in server.log()
            assert "Traceback" not in server.log()


def test_a_socket_in_use_is_not_replaced(start_server: StartServer, publish: Publish) -> None:
    first = start_server("mlp")
    with InferenceProcess(publish("mlp"), "mlp", first.socket.parent) as second:
        assert "another process listens on" in second.wait_for("failed")["message"]
        assert second.ended() == 1
    first.terminate()
    assert first.ended() == 0


def test_a_socket_path_that_is_too_long_is_reported_in_one_line(
    publish: Publish, tmp_path: Path
) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    with InferenceProcess(publish("mlp"), "mlp", deep) as server:
        assert "choose a shorter state folder" in server.wait_for("failed")["message"]
        assert server.ended() == 1
