"""Errors of `slipstream up`: one line and an exit status."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from slipstream.failures import UnusableError
from slipstream.settings import ServeOptions, UpOptions, check_exposure
from telemetry.options import check
from tests.slipstream.running import environment, free_port
from tests.timing import TIMEOUT_SECONDS


def refused(*options: str, **settings: str) -> tuple[int, str, str]:
    """Return exit status, stdout and the lines of stderr that `up` itself has written."""
    command = [sys.executable, "-m", "slipstream", "up", *options]
    result = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        env={**environment(), **settings},
        check=False,
    )
    own = [line for line in result.stderr.splitlines() if line.startswith("slipstream")]
    assert "Traceback" not in result.stderr
    assert len(own) == 1, result.stderr
    return result.returncode, result.stdout, own[0]


@pytest.mark.parametrize("option", ["--port", "--grpc-port"])
def test_a_port_in_use_is_reported(tmp_path: Path, option: str) -> None:
    other = {"--port": "--grpc-port", "--grpc-port": "--port"}[option]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ports = [option, str(port), other, str(free_port())]
        status, _, line = refused(*ports, "--state", str(tmp_path / "state"))
    assert status == 3
    assert f"port {port}" in line


def test_a_grpc_port_that_another_process_shares_is_refused(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ports = ["--grpc-port", str(port), "--port", str(free_port())]
        status, _, line = refused(*ports, "--state", str(tmp_path / "state"))
    assert status == 3
    assert f"port {port}" in line


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "gateway.example"])
@pytest.mark.parametrize("program", ["up", "gateway"])
def test_other_machines_are_served_by_tls_or_on_request(host: str, program: str) -> None:
    options = check(UpOptions if program == "up" else ServeOptions, ["--host", host], prefix="T_")
    with pytest.raises(UnusableError) as caught:
        check_exposure(options)
    for word in (host, "--tls-cert", "--behind-proxy", "--insecure"):
        assert word in str(caught.value)
    for allowed in (["--behind-proxy"], ["--insecure"], ["--tls-cert", "cert.pem"]):
        check_exposure(check(UpOptions, ["--host", host, *allowed], prefix="T_"))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_this_machine_is_served_without_tls(host: str) -> None:
    check_exposure(check(UpOptions, ["--host", host], prefix="T_"))


def test_up_does_not_listen_for_other_machines_without_tls(tmp_path: Path) -> None:
    status, _, line = refused("--host", "0.0.0.0", "--state", str(tmp_path / "state"))
    assert status == 3
    assert "--insecure" in line
    assert not (tmp_path / "state").exists()


def test_a_setting_with_a_wrong_value_is_named_with_what_is_allowed(tmp_path: Path) -> None:
    state = str(tmp_path / "state")
    status, _, line = refused("--state", state, SLIPSTREAM_CALL_LOG="slow:soon")
    assert status == 3
    assert "SLIPSTREAM_CALL_LOG: expected off, errors, all, or slow:" in line
    assert "got 'slow:soon'" in line
    status, _, line = refused("--state", state, SLIPSTREAM_LOG_LEVEL="loud")
    assert status == 3
    assert "SLIPSTREAM_LOG_LEVEL: expected debug, info, warning or error, got 'loud'" in line


def test_a_state_folder_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    state = tmp_path / "file" / "state"
    status, stdout, line = refused("--state", str(state), "--json")
    assert status == 3
    assert str(state) in line
    assert json.loads(stdout)["error"]["message"] in line


@pytest.mark.long
def test_a_corrupt_database_is_reported_and_no_process_is_left(tmp_path: Path) -> None:
    (tmp_path / "slipstream.db").write_bytes(b"no database, whatever it may be " * 100)
    ports = ["--port", str(free_port()), "--grpc-port", str(free_port())]
    status, _, line = refused("--state", str(tmp_path), *ports)
    assert status == 3
    assert "slipstream.db" in line


@pytest.mark.parametrize("options", [("--port", "0"), ("--workers", "none"), ("--nonsense",)])
def test_an_invalid_command_line_is_a_usage_error(options: tuple[str, ...]) -> None:
    status, _, line = refused(*options)
    assert status == 2
    assert options[0] in line
