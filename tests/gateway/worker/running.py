"""A worker as a real process, with the log of its runs and its output."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import psutil

from gateway.broker.broker import Broker, BrokerKind, Queue
from tests.child_processes import children
from tests.gateway.brokers import send, until
from tests.slipstream.running import environment
from tests.timing import TIMEOUT_SECONDS


class Worker:
    """One `slipstream worker`; only what its runs do is replaced."""

    def __init__(
        self,
        broker: Broker,
        folder: Path,
        *options: str,
        grace_seconds: float = 20.0,
        unresponsive_seconds: float = 30.0,
    ) -> None:
        self.broker = broker
        self.folder = folder
        self.errors = folder / "stderr"
        command = [sys.executable, "-m", "tests.gateway.worker.program", *options]
        with self.errors.open("a") as errors:
            self.process = subprocess.Popen(
                command,
                env={
                    **environment(),
                    **self._settings(grace_seconds),
                    "SLIPSTREAM_UNRESPONSIVE_SECONDS": str(unresponsive_seconds),
                },
                stderr=errors,
                stdout=subprocess.PIPE,
                text=True,
                process_group=0,
            )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._seen: set[psutil.Process] = set()

    def send(self, queue: Queue, *run_ids: str) -> None:
        """Hand it runs."""
        send(self.broker, queue, *run_ids)

    def until_printed(self, text: str) -> None:
        """Wait until a line of stdout contains the text."""
        until(
            lambda: any(text in line for line in self.lines),
            f"{text}: {self.lines}\n{self.log()}",
        )

    def run_log(self, event: str) -> list[tuple[str, int]]:
        """Return runs and processes of an event, in order."""
        try:
            lines = (self.folder / "runs.log").read_text().splitlines()
        except FileNotFoundError:
            return []
        noted = [line.split() for line in lines]
        return [(run_id, int(pid)) for word, run_id, pid in noted if word == event]

    def runs(self, event: str) -> list[str]:
        """Return the runs of an event, in order."""
        return [run_id for run_id, _ in self.run_log(event)]

    def until_runs(self, event: str, *run_ids: str) -> None:
        """Wait until each of the runs has begun or ended."""
        missing = set(run_ids)
        until(
            lambda: missing <= set(self.runs(event)),
            f"{event}: {missing - set(self.runs(event))}\n{self.log()}",
        )

    def release(self) -> None:
        """Let the runs that hold end."""
        (self.folder / "release").touch()

    def processes(self) -> list[psutil.Process]:
        """Return every process below it."""
        found = psutil.Process(self.process.pid).children(recursive=True)
        self._seen.update(found)
        return found

    def workers(self) -> list[psutil.Process]:
        """Return the processes that do runs: one, or for a moment two."""
        self.processes()
        return children(parent=self.process.pid)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, and wait for the end."""
        self.processes()
        self.process.send_signal(number)
        return self.ended()

    def ended(self) -> int:
        """Wait for the end, see that nothing is left, and return the exit status."""
        status = self.process.wait(TIMEOUT_SECONDS)
        _, alive = psutil.wait_procs(self._seen, timeout=TIMEOUT_SECONDS)
        assert not alive, self.log()
        self._reader.join()
        return status

    def kill(self) -> None:
        """End it whatever state it is in; for the end of a test."""
        if self.process.poll() is None:
            self.stop(signal.SIGKILL)

    def log(self) -> str:
        """Everything on stderr so far."""
        return self.errors.read_text()

    def _settings(self, grace_seconds: float) -> dict[str, str]:
        settings = {
            "TEST_FOLDER": str(self.folder),
            "SLIPSTREAM_STATE": str(self.folder),
            "SLIPSTREAM_QUEUE_PREFIX": self.broker.prefix,
            "SLIPSTREAM_DRAIN_SECONDS": str(grace_seconds),
        }
        if self.broker.kind is not BrokerKind.FOLDER:
            settings["SLIPSTREAM_BROKER_URL"] = self.broker.url
        return settings

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as pipe:
            self.lines.extend(pipe)


def pid_of(worker: Worker, run_id: str) -> int:
    """Return the process that has begun a run last."""
    return [pid for begun, pid in worker.run_log("began") if begun == run_id][-1]


def names(stem: str, count: int) -> Sequence[str]:
    """Return ids that begin with `stem`."""
    return [f"{stem}-{number}" for number in range(count)]
