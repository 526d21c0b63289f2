"""A private Redis without persistence: its data is lost when it is killed."""

from __future__ import annotations

import socket
from pathlib import Path

from tests.services.machine import LOCAL, Machine
from tests.services.process import Service
from tests.slipstream.running import free_port


class RedisServer(Service):
    """Redis on a free port."""

    def __init__(self, folder: Path, machine: Machine = LOCAL) -> None:
        """Prepare the command; `folder` must exist."""
        self.port = free_port()
        self._address = machine.address
        self.url = f"redis://{machine.address}:{self.port}/0"
        command = [*machine.prefix, "redis-server", "--bind", machine.address]
        command += ["--port", str(self.port), "--protected-mode", "no"]
        command += ["--save", "", "--appendonly", "no", "--dir", str(folder)]
        super().__init__("redis", command, self._answers_ping, folder=folder)

    def _answers_ping(self) -> bool:
        try:
            with socket.create_connection((self._address, self.port), 1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False
