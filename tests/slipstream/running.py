"""`slipstream up` as a real process, with its output at hand."""

from __future__ import annotations

import itertools
import json
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from tests.child_processes import children
from tests.gateway.databases import migrated_sqlite
from tests.services.machine import LOCAL, Machine
from tests.timing import TIMEOUT_SECONDS

_FIRST_PORT, _PORTS_EACH, _PROCESSES = 26_000, 800, 8
NO_WORKER = ("--worker-concurrency", "0")
"""For tests without runs of type api: a worker takes a second of processor time to start."""
LOOPBACK = {"SLIPSTREAM_WEBHOOK_ALLOW": "127.0.0.0/8", "SLIPSTREAM_WEBHOOK_ALLOW_HTTP": "1"}
"""Settings with which webhooks and flows may call this machine, over HTTP."""
_SETTINGS = {"SLIPSTREAM_LOG_FORMAT": "json", "SLIPSTREAM_DRAIN_DELAY_SECONDS": "0"}
"""No load balancer has to learn that an installation of the tests stops."""


def _ports() -> Iterator[int]:
    """Give the ports of this process of pytest again and again, below those that Linux gives."""
    process = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _PROCESSES
    first = _FIRST_PORT + process * _PORTS_EACH
    return itertools.cycle(range(first, first + _PORTS_EACH))


_PORTS = _ports()


def free_port() -> int:
    """Return a free port, which nothing else takes before it is used: others are given first."""
    for port in _PORTS:
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError


def environment() -> dict[str, str]:
    """Return our environment without settings of Slipstream."""
    return {k: v for k, v in os.environ.items() if not k.startswith("SLIPSTREAM_")}


class Up:
    """One running `slipstream up`."""

    def __init__(
        self,
        state: Path,
        *options: str,
        port: int | None = None,
        grpc_port: int | None = None,
        code: Path | None = None,
        command: Sequence[str] = ("up",),
        machine: Machine = LOCAL,
        migrated: bool = True,
        **extra: str,
    ) -> None:
        """Start it, from the checkout `code`; `extra` goes into its environment.

        `command` may be another one that becomes `slipstream up`. A new state folder has an empty
        database, unless it is elsewhere, or not `migrated`: then the start does that.
        """
        self.state = state
        elsewhere = any(name.startswith("SLIPSTREAM_DATABASE_URL") for name in extra)
        if migrated and code is None and command == ("up",) and not elsewhere:
            state.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not any(state.iterdir()):
                shutil.copy(migrated_sqlite(), state / "slipstream.db")
        self.extra = extra
        self.port = port or free_port()
        self.grpc_port = grpc_port or free_port()
        self._machine = machine
        words = [*machine.prefix, sys.executable, "-m", "slipstream", *command]
        words += ["--state", str(state)]
        words += ["--port", str(self.port), "--grpc-port", str(self.grpc_port), *options]
        self._errors = (state.parent / f"{state.name}.stderr").open("w+")
        self.process = subprocess.Popen(
            words,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env={**environment(), **_SETTINGS, **extra},
            cwd=code,
        )
        # A test that fails in the middle leaves nothing running: the children go with it.
        weakref.finalize(self, self.process.kill)
        self.output: list[str] = []
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._seen: set[psutil.Process] = set()

    @property
    def url(self) -> str:
        """Where REST is."""
        return f"http://{self._machine.address}:{self.port}"

    @property
    def errors(self) -> str:
        """Everything on stderr so far, the children's included."""
        return Path(self._errors.name).read_text()

    def until(self, text: str) -> str:
        """Return the next line of stdout that contains `text`."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no line has '{text}':\n{self._said()}") from None
            assert line is not None, f"it ended:\n{self._said()}"
            if text in line:
                return line.rstrip("\n")

    def logged(self, event: str, pid: int) -> dict[str, object]:
        """Wait for the line of the log on stderr with this event of a process; return it."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while True:
            whole = self.errors.rpartition("\n")[0].splitlines()
            lines = [json.loads(line) for line in whole if line.startswith("{")]
            found = [it for it in lines if (it["event"], it.get("pid")) == (event, pid)]
            if found:
                return dict(found[0])
            assert time.monotonic() < deadline, self._said()
            time.sleep(0.05)

    def children(self, module: str = "") -> list[psutil.Process]:
        """Return the child processes that run the given module, or all."""
        found = children(module, self.process.pid, recursive=True)
        self._seen.update(found)
        return found

    def gateways(self) -> list[psutil.Process]:
        """Return the gateway processes."""
        # Not what a gateway starts: until that is another program, it looks like the gateway.
        own = psutil.Process(self.process.pid).children()
        return [child for child in self.children("gateway") if child in own and _is_gateway(child)]

    def servers(self, name: str = "") -> list[psutil.Process]:
        """Return the inference servers, all or those that are called `<model> <version>`."""
        forkers = self.fork_servers()
        found = self.children("inference_server")
        return [child for child in found if child not in forkers and name in child.name()]

    def fork_servers(self) -> list[psutil.Process]:
        """Return what inference servers are forked off: one process or, for a moment, none."""
        module = "inference_server.fork_server"
        return [child for child in self.children(module) if child.name() == "fork server"]

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, wait for the end, and see that no child is left."""
        self.children()
        self.process.send_signal(number)
        return self.ended()

    def ended(self) -> int:
        """Wait for the end, see that no child is left, and return the exit status."""
        status = self.process.wait(TIMEOUT_SECONDS)
        psutil.wait_procs(self._seen, timeout=TIMEOUT_SECONDS)
        assert not [child for child in self._seen if child.is_running()]
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()
        self._errors.close()
        return status

    def _said(self) -> str:
        return f"{''.join(self.output)}\n{self.errors}"

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output.append(line)
            self._lines.put(line)
        self._lines.put(None)


def _is_gateway(process: psutil.Process) -> bool:
    try:
        return "gateway" in process.cmdline()
    except psutil.NoSuchProcess:
        return False
