"""A worker as a real process, with its diary and its status lines at hand."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import psutil

from gateway.broker.broker import Broker, BrokerKind
from gateway.broker.queues import Queue
from tests.gateway.brokers import TIMEOUT_SECONDS, send, until
from tests.slipstream.running import environment


class Worker:
    """One `python -m gateway.worker`, but for what its runs do."""

    def __init__(
        self, broker: Broker, folder: Path, *options: str, grace_seconds: float = 20.0
    ) -> None:
        self.broker = broker
        self.folder = folder
        self.errors = folder / "stderr"
        self._lifeline = os.pipe()
        read_fd, write_fd = os.pipe()
        command = [sys.executable, "-m", "tests.gateway.worker.program", *options]
        command += ["--status-fd", str(write_fd), "--lifeline-fd", str(self._lifeline[0])]
        with self.errors.open("a") as errors:
            self.process = subprocess.Popen(
                command,
                pass_fds=(write_fd, self._lifeline[0]),
                env={**environment(), **self._settings(grace_seconds)},
                stderr=errors,
                stdout=errors,
                process_group=0,
            )
        os.close(write_fd)
        self.lines: list[dict[str, object]] = []
        self._reader = threading.Thread(target=self._read, args=(read_fd,), daemon=True)
        self._reader.start()
        self._seen: set[psutil.Process] = set()

    def send(self, queue: Queue, *run_ids: str) -> None:
        """Hand it runs."""
        send(self.broker, queue, *run_ids)

    def said(self, event: str) -> int:
        """Return how often it has said so."""
        return sum(line["event"] == event for line in self.lines)

    def until_said(self, event: str, times: int = 1) -> None:
        """Wait until it has said something that often."""
        until(lambda: self.said(event) >= times, f"{event}: {self.lines}\n{self.log()}")

    def diary(self, event: str) -> list[tuple[str, int]]:
        """Return runs and processes of an event, in order."""
        try:
            lines = (self.folder / "diary").read_text().splitlines()
        except FileNotFoundError:
            return []
        noted = [line.split() for line in lines]
        return [(run_id, int(pid)) for word, run_id, pid in noted if word == event]

    def runs(self, event: str) -> list[str]:
        """Return the runs of an event, in order."""
        return [run_id for run_id, _ in self.diary(event)]

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

    def lanes(self) -> list[psutil.Process]:
        """Return the lanes' processes."""
        self.processes()
        return psutil.Process(self.process.pid).children()

    def children(self) -> list[psutil.Process]:
        """Return the processes that do runs."""
        return [child for lane in self.lanes() for child in lane.children()]

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, and wait for the end."""
        self.processes()
        self.process.send_signal(number)
        return self.ended()

    def cut(self) -> int:
        """Close its lifeline, as the end of its supervisor does, and wait for its end."""
        self.processes()
        os.close(self._lifeline[1])
        self._lifeline = (self._lifeline[0], -1)
        return self.ended()

    def ended(self) -> int:
        """Wait for the end, see that nothing is left, and return the exit status."""
        status = self.process.wait(TIMEOUT_SECONDS)
        _, alive = psutil.wait_procs(self._seen, timeout=TIMEOUT_SECONDS)
        assert not alive, self.log()
        self._close()
        return status

    def kill(self) -> None:
        """End it whatever state it is in; for the end of a test."""
        if self.process.poll() is None:
            self.stop(signal.SIGKILL)

    def log(self) -> str:
        """Everything on stderr so far."""
        return self.errors.read_text()

    def _close(self) -> None:
        self._reader.join()
        for end in self._lifeline:
            if end >= 0:
                os.close(end)
        self._lifeline = (-1, -1)

    def _settings(self, grace_seconds: float) -> dict[str, str]:
        settings = {
            "TEST_FOLDER": str(self.folder),
            "SLIPSTREAM_STATE": str(self.folder),
            "SLIPSTREAM_QUEUE_PREFIX": self.broker.prefix,
            "SLIPSTREAM_DRAIN_SECONDS": str(grace_seconds),
        }
        if self.broker.kind is not BrokerKind.FOLDER:
            patience = self.broker.visibility_timeout
            query = f"?visibility_timeout={patience}" if patience else ""
            settings["SLIPSTREAM_BROKER_URL"] = self.broker.url + query
        return settings

    def _read(self, descriptor: int) -> None:
        with os.fdopen(descriptor) as pipe:
            for line in pipe:
                self.lines.append(json.loads(line))


def pid_of(worker: Worker, run_id: str) -> int:
    """Return the process that has begun a run last."""
    return [pid for begun, pid in worker.diary("began") if begun == run_id][-1]


def names(stem: str, count: int) -> Sequence[str]:
    """Return ids that begin with `stem`."""
    return [f"{stem}-{number}" for number in range(count)]
