"""A second gateway of an installation, with the grpcio server on its gRPC port."""

from __future__ import annotations

import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import httpx

from tests.slipstream.running import Up, environment, free_port
from tests.timing import TIMEOUT_SECONDS


@contextmanager
def grpcio_gateway(up: Up, *options: str, ca: str | None = None) -> Iterator[int]:
    """Yield its gRPC port once it reaches the running inference servers.

    With `ca`, the CA bundle that verifies it, it speaks TLS. It ends without a traceback.
    """
    port, grpc_port = free_port(), free_port()
    command = [sys.executable, "-m", "slipstream", "gateway", "--grpc-server", "grpcio"]
    command += ["--state", str(up.state), "--port", str(port), "--grpc-port", str(grpc_port)]
    log = up.state.parent / "grpcio.stderr"
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [*command, *options], stderr=stderr, env={**environment(), **up.extra}
        )
    try:
        url = f"http://127.0.0.1:{port}" if ca is None else f"https://localhost:{port}"
        context = ssl.create_default_context(cafile=ca)
        with httpx.Client(base_url=url, verify=context) as client:
            deadline = time.monotonic() + TIMEOUT_SECONDS
            while not _is_ready(client):
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.05)
        yield grpc_port
    finally:
        process.terminate()
        status = process.wait(TIMEOUT_SECONDS)
    assert (status, "Traceback" in log.read_text()) == (0, False), log.read_text()


def _is_ready(client: httpx.Client) -> bool:
    with suppress(httpx.TransportError):
        return client.get("/readyz").is_success
    return False
