"""A virtual host of a test's own on the machine's RabbitMQ."""

from __future__ import annotations

import os
import subprocess
from uuid import uuid4


class VirtualHost:
    """Queues in a virtual host of their own."""

    def __init__(self) -> None:
        self.name = f"slipstream_test_{uuid4().hex[:12]}"
        self.url = f"amqp://guest:guest@127.0.0.1:5672/{self.name}"

    def create(self) -> None:
        """Make it."""
        _rabbitmqctl("add_vhost", self.name)
        _rabbitmqctl("set_permissions", "-p", self.name, "guest", ".*", ".*", ".*")

    def drop(self) -> None:
        """Delete it with all its queues; who is still connected is cut off."""
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
