"""A started server with every process below it: its CPU time, its memory, its end."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TypeVar

import psutil

from benchmarks.forms import Call
from benchmarks.model import Model
from benchmarks.servers import Program

T = TypeVar("T")

ROOT = Path(__file__).resolve().parent.parent

_PAUSE_SECONDS = 0.05
_CALL_SECONDS = 10.0
_STOP_SECONDS = 15.0


class ServerFailedError(Exception):
    """A server did not start, or answered with an error."""


class Started:
    """One run of a server.

    Attributes:
        port: where it is called.
        second_port: where else, for a server that has two.
        boot_seconds: from its start to its first right answer; 0 until `wait` has returned.
    """

    def __init__(self, program: Program, model: Model, python: Path, work: Path) -> None:
        self.boot_seconds = 0.0
        self._program = program
        self._seen: dict[psutil.Process, float] = {}
        ports = _free_ports(3)
        self.port, self.second_port, _ = ports
        fill = {"python": python, "port": ports[0], "second_port": ports[1], "work": work}
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PATH": f"{python.parent}:{os.environ['PATH']}",
            "ORT_DISABLE_TELEMETRY": "1",
            "BENCH_MODEL": str(model.path),
            "BENCH_PORTS": ",".join(str(port) for port in ports),
            **{name: value.format_map(fill) for name, value in program.environment.items()},
        }
        work.mkdir(parents=True, exist_ok=True)
        self.log = work / "server.log"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [part.format_map(fill) for part in program.command],
                cwd=work,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._root = psutil.Process(self._process.pid)

    @property
    def root(self) -> psutil.Process:
        """Return the process that was started."""
        return self._root

    def wait(self, call: Call) -> int:
        """Wait for the first right answer; return its size on the wire in bytes."""
        return self.until(lambda: self.ask(call))

    def until(self, ask: Callable[[], T]) -> T:
        """Return what `ask` gives as soon as it raises none of the errors of a server that boots.

        These are OSError, HTTPException and ServerFailedError.
        """
        start = time.perf_counter()
        said = "no answer"
        while time.perf_counter() - start < self._program.boot_seconds:
            if self._process.poll() is not None:
                code = self._process.returncode
                raise ServerFailedError(f"exited with {code}: {self._last_words()}")
            try:
                answer = ask()
            except (OSError, http.client.HTTPException, ServerFailedError) as error:
                said = str(error) or type(error).__name__
                time.sleep(_PAUSE_SECONDS)
            else:
                self.boot_seconds = time.perf_counter() - start
                return answer
        raise ServerFailedError(f"not ready in {self._program.boot_seconds:.0f} s: {said}")

    def ask(self, call: Call) -> int:
        """Call once and check the answer; return its size on the wire in bytes."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_CALL_SECONDS)
        try:
            connection.request("POST", call.path, call.body, dict(call.headers))
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        if answer.status != http.client.OK:
            raise ServerFailedError(f"HTTP {answer.status}: {content[:300]!r}")
        call.check(content)
        first_line = len(f"HTTP/1.1 {answer.status} {answer.reason}\r\n\r\n")
        fields = sum(len(f"{name}: {value}\r\n") for name, value in answer.getheaders())
        return first_line + fields + len(content)

    def cpu_seconds(self) -> float:
        """Return user and system time of all its processes, ended ones included."""
        for process in self._processes():
            with suppress(psutil.Error):
                times = process.cpu_times()
                self._seen[process] = times.user + times.system
        return sum(self._seen.values())

    def memory_bytes(self) -> int:
        """Return the proportional set size (PSS) of all its processes."""
        total = 0
        for process in self._processes():
            with suppress(psutil.Error):
                total += process.memory_full_info().pss
        return total

    def process_count(self) -> int:
        """Return how many processes it runs."""
        return len(self._processes())

    def stop(self) -> None:
        """End it and whatever it has started."""
        self._processes()
        with suppress(ProcessLookupError):
            self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_STOP_SECONDS)
        _, alive = psutil.wait_procs([p for p in self._seen if p.is_running()], timeout=1)
        for process in alive:
            with suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(alive, timeout=_STOP_SECONDS)

    def _processes(self) -> list[psutil.Process]:
        """Return those alive, and remember them: an orphan is still its process."""
        with suppress(psutil.Error):
            for process in (self._root, *self._root.children(recursive=True)):
                self._seen.setdefault(process, 0.0)
        return [process for process in self._seen if process.is_running()]

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return " / ".join(lines[-3:])[-500:] or "it said nothing"


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
