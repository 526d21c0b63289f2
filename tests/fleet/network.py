"""Machines on this machine: a network namespace each, on one bridge. Linux, as root."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Self

from tests.services.machine import Machine
from tests.services.steady_network import changing_network

_FORWARDING, _DISABLED = "3", "0"
"""States of a bridge's port."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkMachine(Machine):
    """A machine with a network of its own.

    Attributes:
        name: for people.
        namespace: its network namespace.
        port: the bridge's end of its cable.
    """

    name: str
    namespace: str
    port: str

    def pids(self) -> list[int]:
        """Return its processes."""
        return [int(pid) for pid in _run("ip", "netns", "pids", self.namespace).split()]

    def kill(self) -> None:
        """Kill everything that runs on it, as a power cut does."""
        while pids := self.pids():
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def cut(self) -> None:
        """Drop all its packets, without an error for either side."""
        _run("bridge", "link", "set", "dev", self.port, "state", _DISABLED)

    def restore(self) -> None:
        """Let packets through again."""
        _run("bridge", "link", "set", "dev", self.port, "state", _FORWARDING)


class Network:
    """The bridge, on which this machine has the address `outside`. A context manager."""

    def __init__(self) -> None:
        number = os.getpid()
        self._bridge = f"ssb{number % 100_000}"
        self._subnet = f"10.213.{number % 250}"
        self.outside = f"{self._subnet}.254"
        self._machines: list[NetworkMachine] = []
        self._held = ExitStack()

    def __enter__(self) -> Self:
        self._held.enter_context(changing_network())
        _run("ip", "link", "add", self._bridge, "type", "bridge")
        _run("ip", "address", "add", f"{self.outside}/24", "dev", self._bridge)
        _run("ip", "link", "set", self._bridge, "up")
        return self

    def __exit__(self, *_: object) -> None:
        for machine in self._machines:
            machine.kill()
            _run("ip", "netns", "delete", machine.namespace)
        _run("ip", "link", "delete", self._bridge)
        self._held.close()

    def add(self, name: str) -> NetworkMachine:
        """Add a machine."""
        number = len(self._machines) + 1
        namespace, port = f"{self._bridge}-{name}", f"{self._bridge}p{number}"
        inside = f"{self._bridge}i{number}"
        address = f"{self._subnet}.{number}"
        _run("ip", "netns", "add", namespace)
        machine = NetworkMachine(
            name=name,
            address=address,
            prefix=("ip", "netns", "exec", namespace),
            namespace=namespace,
            port=port,
        )
        self._machines.append(machine)
        _run("ip", "link", "add", port, "type", "veth", "peer", "name", inside)
        _run("ip", "link", "set", inside, "netns", namespace)
        _run("ip", "link", "set", port, "master", self._bridge, "up")
        for words in (
            ("address", "add", f"{address}/24", "dev", inside),
            ("link", "set", inside, "up"),
            ("link", "set", "lo", "up"),
        ):
            _run("ip", "-netns", namespace, *words)
        return machine


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout
