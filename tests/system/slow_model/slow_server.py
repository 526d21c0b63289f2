"""Calls one slow model, and reads the counters of its server."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.system.installation import Installation, chain
from tests.timing import TIMEOUT_SECONDS, Timer

RUN_SECONDS = 0.3
MODEL = "slow"
BODY = {"input_data": {"x": [1, 2]}}


@dataclass(frozen=True)
class ServerCounts:
    """Counters of the inference server."""

    runs: int
    waiting: int
    by_code: dict[str, int]

    def since(self, before: ServerCounts) -> ServerCounts:
        """Return the difference to `before`; `waiting` is the current value."""
        codes = {code: count - before.by_code.get(code, 0) for code, count in self.by_code.items()}
        grown = {code: count for code, count in codes.items() if count}
        return ServerCounts(self.runs - before.runs, self.waiting, grown)


class SlowServer:
    """The installation, a deployment of the model, and the counters of its server."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        self.deployment = installation.deploy(chain(MODEL))
        (target,) = installation.http.get("/metrics/targets").json()
        self._metrics = f"http://{target['targets'][0]}/metrics"

    def trigger(self, timeout: str | None = None, deployment: str | None = None) -> httpx.Response:
        """Call the deployment, with X-Request-Timeout."""
        headers = {} if timeout is None else {"X-Request-Timeout": timeout}
        return self.installation.trigger(deployment or self.deployment, json=BODY, headers=headers)

    def settle(self) -> float:
        """Wait until the server is idle; return how long a call takes now, by the clock."""
        assert self.trigger().status_code == 200  # behind what a test before has left
        timer = Timer()
        assert self.trigger().status_code == 200
        return timer.elapsed

    def send(self) -> socket.socket:
        """Send a call; return the connection with the response unread."""
        body = json.dumps(BODY)
        client = socket.create_connection(("127.0.0.1", self.installation.up.port))
        client.sendall(
            f"POST /node/deployment-trigger/{self.deployment}/ HTTP/1.1\r\nhost: test\r\n"
            f"x-api-key: {self.installation.key}\r\ncontent-length: {len(body)}\r\n\r\n"
            f"{body}".encode()
        )
        return client

    def counts(self) -> ServerCounts:
        """Return the current counters of the inference server."""
        samples = [
            sample
            for family in text_string_to_metric_families(httpx.get(self._metrics).text)
            for sample in family.samples
        ]
        values = {sample.name: int(sample.value) for sample in samples}
        codes = {
            sample.labels["code"]: int(sample.value)
            for sample in samples
            if sample.name == "inference_requests_total"
        }
        return ServerCounts(
            values.get("inference_seconds_count", 0), values["inference_queue_depth"], codes
        )

    def wait_for_queue(self, *, minimum: int = 0, maximum: int = 2**31) -> None:
        """Wait until the number of queued calls is in this range."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while not minimum <= self.counts().waiting <= maximum:
            assert time.monotonic() < deadline
            time.sleep(0.05)

    @contextlib.contextmanager
    def busy(self, calls: int) -> Iterator[None]:
        """Keep the server busy with `calls` calls; all of them succeed in the end."""
        with contextlib.ExitStack() as opened:
            clients = [opened.enter_context(self.send()) for _ in range(calls)]
            self.wait_for_queue(minimum=calls - 2)
            yield
            for client in clients:
                client.settimeout(TIMEOUT_SECONDS)
                assert client.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
        self.wait_for_queue(maximum=0)
