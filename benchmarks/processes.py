"""A server under test with all its processes: start, first answer, CPU time, memory, stop."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import psutil

from benchmarks.calls import HttpCall
from benchmarks.models import OnnxModel
from benchmarks.servers import Program

T = TypeVar("T")

ROOT = Path(__file__).resolve().parent.parent
MIB = 2**20

_POLL_SECONDS = 0.05
_CALL_TIMEOUT_SECONDS = 10.0
_STOP_TIMEOUT_SECONDS = 15.0
_ROLES = {"inference_server": "inference server", "gateway": "gateway", "slipstream": "supervisor"}
"""Word of a command line → role; the first that occurs counts."""


class ServerFailedError(Exception):
    """A server did not start, or answered with an error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessMemory:
    """Memory of one process, in bytes."""

    pid: int
    role: str
    rss: int
    pss: int

    @property
    def title(self) -> str:
        """Return role and process id."""
        return f"{self.role} {self.pid}"


@dataclass(frozen=True, slots=True, kw_only=True)
class MemorySample:
    """Memory of every process at one moment."""

    at: float
    """Seconds since the start of the measurement."""
    processes: Sequence[ProcessMemory]

    @property
    def pss(self) -> int:
        """Return the memory of all processes, shared pages counted once."""
        return sum(process.pss for process in self.processes)


class RunningServer:
    """A started program.

    Attributes:
        port: where it is called.
        second_port: for programs with two ports.
        boot_seconds: from its start to its first correct answer; 0 before `wait` returns.
        root: the process that was started.
    """

    def __init__(self, program: Program, model: OnnxModel, python: Path, work: Path) -> None:
        self.boot_seconds = 0.0
        self._program = program
        self._cpu_seconds: dict[psutil.Process, float] = {}
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
        self._log = work / "server.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [part.format_map(fill) for part in program.command],
                cwd=work,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.root = psutil.Process(self._process.pid)

    def wait(self, call: HttpCall) -> int:
        """Wait for the first correct answer; return its size on the wire in bytes."""
        return self.wait_for(lambda: self.check(call))

    def wait_for(self, attempt: Callable[[], T]) -> T:
        """Repeat `attempt` until it succeeds; return its result.

        OSError, HTTPException and ServerFailedError mean that the server is still booting.
        """
        started = time.perf_counter()
        reason = "no answer"
        while time.perf_counter() - started < self._program.boot_seconds:
            if self._process.poll() is not None:
                code = self._process.returncode
                raise ServerFailedError(f"exited with {code}: {self._log_tail()}")
            try:
                result = attempt()
            except (OSError, http.client.HTTPException, ServerFailedError) as error:
                reason = str(error) or type(error).__name__
                time.sleep(_POLL_SECONDS)
            else:
                self.boot_seconds = time.perf_counter() - started
                return result
        raise ServerFailedError(f"not ready in {self._program.boot_seconds:.0f} s: {reason}")

    def check(self, call: HttpCall) -> int:
        """Call once and check the answer; return its size on the wire in bytes."""
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.port, timeout=_CALL_TIMEOUT_SECONDS
        )
        try:
            connection.request(call.method, call.path, call.body, dict(call.headers))
            response = connection.getresponse()
            content = response.read()
        finally:
            connection.close()
        if response.status != http.client.OK:
            raise ServerFailedError(f"HTTP {response.status}: {content[:300]!r}")
        call.check(content)
        first_line = len(f"HTTP/1.1 {response.status} {response.reason}\r\n\r\n")
        fields = sum(len(f"{name}: {value}\r\n") for name, value in response.getheaders())
        return first_line + fields + len(content)

    def cpu_seconds(self) -> float:
        """Return user and system time of all its processes, ended ones included."""
        for process in self.processes():
            with suppress(psutil.Error):
                times = process.cpu_times()
                self._cpu_seconds[process] = times.user + times.system
        return sum(self._cpu_seconds.values())

    def memory(self, at: float = 0.0) -> MemorySample:
        """Return the memory of all its processes."""
        found = []
        for process in self.processes():
            with suppress(psutil.Error):
                memory, line = process.memory_full_info(), " ".join(process.cmdline())
                role = next((role for word, role in _ROLES.items() if word in line), "other")
                found.append(
                    ProcessMemory(pid=process.pid, role=role, rss=memory.rss, pss=memory.pss)
                )
        return MemorySample(at=at, processes=found)

    def processes(self) -> list[psutil.Process]:
        """Return its processes. They are remembered, as some outlive their parent."""
        with suppress(psutil.Error):
            for process in (self.root, *self.root.children(recursive=True)):
                self._cpu_seconds.setdefault(process, 0.0)
        return [process for process in self._cpu_seconds if process.is_running()]

    def stop(self) -> None:
        """End all its processes."""
        self.processes()
        with suppress(ProcessLookupError):
            self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_STOP_TIMEOUT_SECONDS)
        running = [process for process in self._cpu_seconds if process.is_running()]
        _, alive = psutil.wait_procs(running, timeout=1)
        for process in alive:
            with suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(alive, timeout=_STOP_TIMEOUT_SECONDS)

    def log(self) -> str:
        """Return what it has printed so far."""
        return self._log.read_text(errors="replace")

    def _log_tail(self) -> str:
        lines = self.log().strip().splitlines()
        return " / ".join(lines[-3:])[-500:] or "no output"


def memory_growth(samples: Sequence[MemorySample]) -> float:
    """Return the growth in bytes from the first sample to the last, by a linear fit."""
    if len(samples) < 3:
        return 0.0
    times = np.array([sample.at for sample in samples])
    slope, _ = np.polyfit(times, [sample.pss for sample in samples], 1)
    return float(slope * (times[-1] - times[0]))


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
