"""An inference server as a real process, and what it says on its status pipe."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import psutil

from tests.metrics_text import sample
from tests.timing import TIMEOUT_SECONDS

_OWN_SETTINGS = {"ORT_DISABLE_TELEMETRY"}
"""Of the tests, in tests/__init__.py: the product must see to it by itself."""


class InferenceProcess:
    """`python -m inference_server`, started. Ends with the context it is used as."""

    def __init__(
        self, store: Path, model: str, folder: Path, *arguments: str, version: int = 1
    ) -> None:
        self.model = model
        self.socket = folder / f"{model}.sock"
        self.events: list[dict[str, Any]] = []
        self._log = (folder / f"{model}.log").open("w+b")
        status, status_end = os.pipe()
        lifeline_end, self._lifeline = os.pipe()
        command = [sys.executable, "-m", "inference_server", "--store", str(store)]
        command += ["--model", model, "--version", str(version), "--socket", str(self.socket)]
        command += ["--status-fd", str(status_end), "--lifeline-fd", str(lifeline_end)]
        self.process = subprocess.Popen(
            [*command, *arguments],
            pass_fds=(status_end, lifeline_end),
            stderr=self._log,
            env={name: text for name, text in os.environ.items() if name not in _OWN_SETTINGS},
        )
        os.close(status_end)
        os.close(lifeline_end)
        self._status = os.fdopen(status, "rb", buffering=0)
        self._unread = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._status.close()
        self._log.close()
        self.cut_lifeline()

    @property
    def address(self) -> str:
        """What a gRPC client connects to: the Unix socket."""
        return f"unix:{self.socket}"

    @property
    def tcp_address(self) -> str:
        """The same for clients that know only TCP; the process was started with --tcp."""
        return str(self._said("listening")["tcp_address"])

    @property
    def metrics_url(self) -> str:
        """Where Prometheus would look."""
        return f"http://{self._said('listening')['metrics_address']}/metrics"

    def wait_for(self, event: str) -> dict[str, Any]:
        """Return the next status line that reports `event`."""
        for line in self._lines():
            if line["event"] not in ("heartbeat", "log"):
                self.events.append(line)
            if line["event"] == event:
                return line
        raise AssertionError(f"no {event!r} after {self.events}; log:\n{self.log()}")

    def metrics(self) -> bytes:
        """Return what Prometheus would read."""
        with urllib.request.urlopen(self.metrics_url) as answer:
            body: bytes = answer.read()
        return body

    def sample(self, name: str, **labels: str) -> float:
        """Return the value of one metric, of all samples with at least these labels."""
        return sample(self.metrics().decode(), name, **labels)

    def wait_for_queue(self, calls: int) -> None:
        """Return when at least `calls` calls wait for a thread."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while self.sample("inference_queue_depth") < calls:
            assert time.monotonic() < deadline, f"there never were {calls} calls in the queue"

    def cpu_seconds_in(self, seconds: float) -> float:
        """Return the processor time that it takes in the next `seconds`."""
        process = psutil.Process(self.process.pid)
        before = process.cpu_times()
        time.sleep(seconds)
        after = process.cpu_times()
        return float(after.user + after.system - before.user - before.system)

    def log(self) -> str:
        """Return what the process wrote on stderr so far."""
        self._log.seek(0)
        return self._log.read().decode()

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.process.send_signal(signal.SIGTERM)

    def ended(self) -> int:
        """Wait for the end of the process and return its exit code."""
        return self.process.wait(TIMEOUT_SECONDS)

    def cut_lifeline(self) -> None:
        """Do what the kernel does when the parent dies."""
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1

    def _said(self, event: str) -> dict[str, Any]:
        return next(line for line in self.events if line["event"] == event)

    def _lines(self) -> Iterator[dict[str, Any]]:
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while True:
            while b"\n" in self._unread:
                line, _, self._unread = self._unread.partition(b"\n")
                yield json.loads(line)
            patience = max(0.0, deadline - time.monotonic())
            if not select.select([self._status], [], [], patience)[0]:
                return
            chunk = self._status.read(65536)
            if not chunk:
                return
            self._unread += chunk


@contextmanager
def running(
    store: Path, model: str, folder: Path, arguments: Sequence[str] = (), *, until: str = "ready"
) -> Iterator[InferenceProcess]:
    """Run a server for `model`, as soon as it has reported `until`."""
    with InferenceProcess(store, model, folder, *arguments) as server:
        server.wait_for(until)
        yield server
