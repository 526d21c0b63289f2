"""Brokers for tests: a folder, and queues of our own on a real Redis and a real RabbitMQ."""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from gateway.broker.broker import Broker, BrokerKind, Queue, parse_broker_url
from gateway.broker.celery_app import RunSender, build_app
from tests.timing import TIMEOUT_SECONDS

REDIS = "redis://127.0.0.1:6379/9"
RABBITMQ = "amqp://guest:guest@127.0.0.1:5672//"
URLS: dict[str, str | None] = {"folder": None, "redis": REDIS, "amqp": RABBITMQ}
_QUIET_SECONDS = 0.5


@contextmanager
def broker(kind: str, folder: Path) -> Iterator[Broker]:
    """Yield a broker with queues of its own, and remove them at the end."""
    made = parse_broker_url(URLS[kind], folder=folder, prefix=f"test-{uuid4().hex[:8]}")
    yield made
    if made.kind is not BrokerKind.FOLDER:
        with build_app(made).connection_for_write(heartbeat=0) as connection:
            for queue in Queue:
                connection.default_channel.queue_delete(queue.name_in(made.prefix))


def send(to: Broker, queue: Queue, *run_ids: str) -> None:
    """Hand run ids to a broker, all at once."""
    with RunSender(to) as sender:
        sender.send((run_id, queue) for run_id in run_ids)


def until(condition: Callable[[], object], what: str, patience: float = TIMEOUT_SECONDS) -> None:
    """Wait for something that other processes do."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


class Cable:
    """A cable to a broker's port, which can be pulled: the broker is away, and then back."""

    def __init__(self, to: Broker) -> None:
        host, _, port = to.url.partition("@")[2].partition("/")[0].rpartition(":")
        if not host:
            host, _, port = to.url.partition("//")[2].partition("/")[0].rpartition(":")
        self._target = (host, int(port))
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._port = self._listener.getsockname()[1]
        self._pulled = False
        self._flows = threading.Event()
        self._flows.set()
        self._carried_at = time.monotonic()
        threading.Thread(target=self._accept, daemon=True).start()
        self.broker = replace(to, url=to.url.replace(f"{host}:{port}", f"127.0.0.1:{self._port}"))

    def until_quiet(self) -> None:
        """Wait until nothing is on its way: what was sent, has arrived."""
        until(lambda: time.monotonic() - self._carried_at > _QUIET_SECONDS, "the cable is quiet")

    def pull(self) -> None:
        """Break every connection, and refuse new ones."""
        with self._lock:
            self._pulled = True
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            _break(*pair)

    def hold(self) -> None:
        """Carry nothing from now on, as where the broker hangs."""
        self._flows.clear()

    def plug(self) -> None:
        """Let connections through again."""
        with self._lock:
            self._pulled = False

    def close(self) -> None:
        """Take it away."""
        self.pull()
        self._flows.set()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                if self._pulled:
                    near.close()
                    continue
                far = socket.create_connection(self._target)
                self._pairs.append((near, far))
            threading.Thread(target=self._carry, args=(near, far), daemon=True).start()

    def _carry(self, near: socket.socket, far: socket.socket) -> None:
        with suppress(OSError, ValueError), selectors.DefaultSelector() as selector:
            selector.register(near, selectors.EVENT_READ, far)
            selector.register(far, selectors.EVENT_READ, near)
            while True:
                for key, _ in selector.select():
                    data = key.fileobj.recv(65536)  # type: ignore[union-attr]
                    if not data:
                        _break(near, far)
                        return
                    self._flows.wait()
                    key.data.sendall(data)
                    self._carried_at = time.monotonic()


def _break(*ends: socket.socket) -> None:
    for end in ends:
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()
