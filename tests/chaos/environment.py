"""An installation with a private PostgreSQL and Redis, on a small disk of its own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from tests.chaos.outages import Outages
from tests.child_processes import children
from tests.gateway.webhooks.receiver import Receiver
from tests.services.counter import CountingServer
from tests.services.postgres import PostgresServer
from tests.services.redis import RedisServer
from tests.slipstream.running import Up, free_port

GATEWAYS = 2
_DISK_BYTES = 768 * 2**20


class ChaosEnvironment:
    """Everything that can be killed, stopped or filled.

    Attributes:
        counter: counts the requests that flows made.
        receiver: has the webhooks.
        database_url: the URL of the database.
        redis, postgres: the servers.
        up: the running `slipstream up`.
        disk: the folder with all data.
        outages: when database, broker or disk were held away.
    """

    def __init__(self, folder: Path, disk: Path) -> None:
        """Start the servers, then `up`; all data is on `disk`, received webhooks in `folder`."""
        self.disk = disk
        self._logs: list[str] = []
        self.outages = Outages()
        self.counter = CountingServer()
        self.receiver = Receiver(folder)
        self.redis = RedisServer(folder)
        self.postgres = PostgresServer(self.disk)
        self._port, self._grpc_port = free_port(), free_port()
        self.redis.start()
        self.postgres.start()
        self.database_url = self.postgres.create("chaos")
        self.up = self._start()
        self.up.until("documentation")

    @property
    def url(self) -> str:
        """The base URL of REST."""
        return f"http://127.0.0.1:{self._port}"

    def restart_if_ended(self) -> bool:
        """Start `up` again if it has ended; return whether it had."""
        if self.up.process.poll() is None:
            return False
        self._logs.append(self.up.errors)
        self.up = self._start()
        return True

    def log(self) -> str:
        """Return what all processes have logged."""
        return "".join([*self._logs, self.up.errors])

    def stop(self) -> None:
        """Stop everything."""
        for process in self.children():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.up.process.kill()
        self.up.process.wait()
        self.redis.stop()
        self.postgres.remove()
        self.counter.close()
        self.receiver.close()

    def children(self, word: str = "") -> list[psutil.Process]:
        """Return the processes of `up` with a word in their command line; some may be ending."""
        return children(word, self.up.process.pid, recursive=True)

    def _start(self) -> Up:
        return Up(
            self.disk / "state",
            *("--workers", str(GATEWAYS)),
            port=self._port,
            grpc_port=self._grpc_port,
            SLIPSTREAM_DATABASE_URL=self.database_url,
            SLIPSTREAM_BROKER_URL=self.redis.url,
            SLIPSTREAM_WEBHOOK_ALLOW="127.0.0.0/8",
            SLIPSTREAM_WEBHOOK_ALLOW_HTTP="1",
        )


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system in memory that can be filled without harm. Root alone may mount one."""
    assert os.geteuid() == 0, "run this as root: it mounts a small file system, to fill it"
    folder.chmod(0o711)  # PostgreSQL runs as another user
    disk = folder / "disk"
    disk.mkdir()
    size = f"size={_DISK_BYTES},mode=755"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(disk)], check=True)
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)
