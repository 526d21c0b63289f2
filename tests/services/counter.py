"""An HTTP server that counts requests from flows: evidence of what was really executed."""

from __future__ import annotations

import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_ANSWER = b'{"counted": true}'


class _Server(ThreadingHTTPServer):
    request_queue_size = 128
    """Connections that wait to be accepted: many at once come from a client that was restarted."""

    def handle_error(self, *_: object) -> None:
        """Say nothing of clients that have gone."""


class CountingServer:
    """Counts calls by their path. `POST /anything` is answered with 200."""

    def __init__(self, address: str = "127.0.0.1") -> None:
        """Listen on a free port of `address`."""
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("content-length", 0)))
                owner.count(self.path)
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(_ANSWER)))
                self.end_headers()
                self.wfile.write(_ANSWER)

            do_GET = do_POST  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Say nothing."""

        self._server = _Server((address, 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://{self._server.server_address[0]!s}:{self._server.server_port}"

    def count(self, path: str) -> None:
        """Count a request."""
        with self._lock:
            self._counts[path] += 1

    def of(self, path: str) -> int:
        """Return how often `path` has been called."""
        with self._lock:
            return self._counts[path]

    def all(self) -> dict[str, int]:
        """Return the counts by path."""
        with self._lock:
            return dict(self._counts)

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
