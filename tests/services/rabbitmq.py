"""A private virtual host on the local RabbitMQ."""

from __future__ import annotations

import os
import subprocess
from uuid import uuid4


class VirtualHost:
    """A virtual host that isolates the queues of a test."""

    def __init__(self) -> None:
        self.name = f"slipstream_test_{uuid4().hex[:12]}"
        self.url = f"amqp://guest:guest@127.0.0.1:5672/{self.name}"

    def create(self) -> None:
        """Create the virtual host."""
        _rabbitmqctl("add_vhost", self.name)
        _rabbitmqctl("set_permissions", "-p", self.name, "guest", ".*", ".*", ".*")

    def drop(self) -> None:
        """Delete the virtual host with its queues and close the connections to it."""
        _rabbitmqctl("delete_vhost", self.name)


def _rabbitmqctl(*words: str) -> None:
    path = f"{os.environ['PATH']}{os.pathsep}/usr/sbin"
    result = subprocess.run(
        ["rabbitmqctl", "-q", *words],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
