"""Installations on three combinations of database and broker, shared by all tests."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.gateway.databases import PostgresDatabase
from tests.services.rabbitmq import VirtualHost
from tests.services.redis import RedisServer
from tests.slipstream.running import Up
from tests.system.installation import Installation
from tests.timing import eventually

EMBEDDED, REDIS, RABBITMQ = BACKENDS = ("embedded", "redis", "rabbitmq")

embedded_only = pytest.mark.parametrize("backend", [EMBEDDED], indirect=True)
"""For what neither database nor broker can change, such as the form of requests and answers."""


@dataclass(frozen=True)
class Backend:
    """A running installation and its Redis, if any."""

    name: str
    installation: Installation
    redis: RedisServer | None = None

    def gateways(self) -> list[psutil.Process]:
        """Return the gateway processes."""
        return self.installation.up.children("--listen-fd")

    def workers(self) -> list[psutil.Process]:
        """Return the worker processes, parents and children."""
        return self.installation.up.children("gateway.worker")

    @contextlib.contextmanager
    def without_workers(self) -> Iterator[None]:
        """Suspend the workers, and the broker if it is a private server."""
        frozen = self.workers()
        assert frozen, "there is no worker to freeze"
        for worker in frozen:
            worker.suspend()
        if self.redis:
            self.redis.suspend()
        try:
            yield
        finally:
            if self.redis:
                self.redis.resume()
            for worker in frozen:
                with contextlib.suppress(psutil.NoSuchProcess):
                    worker.resume()


@contextlib.contextmanager
def running(name: str, folder: Path, **settings: str) -> Iterator[Backend]:
    """Start an installation with the demo on one of BACKENDS; stop it at the end."""
    with contextlib.ExitStack() as stack:
        redis = None
        if name != EMBEDDED:
            database = PostgresDatabase()
            database.create()
            stack.callback(database.drop)
            settings["SLIPSTREAM_DATABASE_URL"] = database.url
        if name == REDIS:
            redis = RedisServer(folder)
            redis.start()
            stack.callback(redis.stop)
            settings["SLIPSTREAM_BROKER_URL"] = redis.url
        if name == RABBITMQ:
            host = VirtualHost()
            host.create()
            stack.callback(host.drop)
            settings["SLIPSTREAM_BROKER_URL"] = host.url
        # The default is one gateway; communication between gateways needs two.
        gateways = "1" if name == EMBEDDED else "2"
        up = Up(folder / "state", "--workers", gateways, **settings)
        up.until("documentation")
        backend = Backend(name=name, installation=Installation(up), redis=redis)
        eventually(lambda: "ready for" in "".join(up.output), bool)  # workers start last
        yield backend
        backend.installation.stop()
