"""A proxy before the gateway that refuses, and loses, the first calls."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import httpx

from tests.timing import TIMEOUT_SECONDS

LOST = 0
"""In place of a status: the connection ends without an answer."""


@dataclass
class FailingProxy:
    """What the proxy has seen."""

    gateway: str
    answers: list[int]
    """The next failures: statuses, or LOST; later requests reach the gateway."""
    keys: list[str | None] = field(default_factory=list)
    """The Idempotency-Key of each POST."""
    times: list[float] = field(default_factory=list)
    """When each POST came."""
    url: str = ""


@contextmanager
def failing_proxy(gateway: str, answers: Sequence[int]) -> Iterator[FailingProxy]:
    """Serve a proxy."""
    proxy = FailingProxy(gateway=gateway, answers=list(answers))
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, proxy))
    proxy.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    def __init__(self, proxy: FailingProxy, *arguments: Any) -> None:
        self.proxy = proxy
        super().__init__(*arguments)

    def do_GET(self) -> None:
        self.forward()

    def do_POST(self) -> None:
        self.proxy.keys.append(self.headers["Idempotency-Key"])
        self.proxy.times.append(time.monotonic())
        self.forward()

    def forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.proxy.answers:
            self.refuse(self.proxy.answers.pop(0))
            return
        url, headers = self.proxy.gateway + self.path, dict(self.headers.items())
        headers = {name: it for name, it in headers.items() if name.lower() != "host"}
        answer = httpx.request(
            self.command, url, content=body, headers=headers, timeout=TIMEOUT_SECONDS
        )
        self.answer(answer.status_code, answer.content, answer.headers)

    def refuse(self, status: int) -> None:
        if status == LOST:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
        else:
            self.answer(status, b"<html>busy</html>", {"Retry-After": "2"})

    def answer(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "connection", "date", "server"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""
