"""A webhook receiver process: it answers as the path specifies and logs each message.

    python -m tests.gateway.webhooks.receiver_program LOG_PATH

It prints its port. `/ok` accepts everything, `/status/CODE` answers CODE, `/flaky/N` accepts a
message at its N-th attempt, `/sometimes/SHARE` fails that share, `/hang` never answers, `/wakes/N`
answers from the N-th attempt on, `/moved` redirects to `/ok`, `/abort` aborts further retries,
`/later/SECONDS` answers 503 with Retry-After, `/later/SECONDS/CODE` another status.
"""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

LOG_PATH = Path(sys.argv[1])
LOCK = threading.Lock()
ATTEMPTS: Counter[str] = Counter()


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Log the message, then answer."""
        size = int(self.headers["content-length"])
        body = self.rfile.read(size)
        if len(body) < size:  # the sender was killed while sending
            self.close_connection = True
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        entry = {
            "at": time.time(),
            "path": self.path,
            "headers": headers,
            "body": body.decode("utf-8"),
        }
        with LOCK:
            ATTEMPTS[headers.get("webhook-id", "")] += 1
            with LOG_PATH.open("a") as log:
                log.write(json.dumps(entry) + "\n")
        self._answer(headers)

    def _answer(self, headers: dict[str, str]) -> None:
        _, kind, *rest = self.path.split("/")
        match kind:
            case "status":
                self._respond(int(rest[0]))
            case "flaky":
                good = ATTEMPTS[headers["webhook-id"]] >= int(rest[0])
                self._respond(200 if good else 500)
            case "sometimes":
                self._respond(500 if random.random() < float(rest[0]) else 200)
            case "hang":
                time.sleep(3600)
            case "wakes":
                if ATTEMPTS[headers["webhook-id"]] < int(rest[0]):
                    time.sleep(3600)
                self._respond(200)
            case "moved":
                self._respond(302, ("location", "/ok"))
            case "abort":
                self._respond(500, ("webhook-delivery", "abort-message"))
            case "later":
                self._respond(int(*(rest[1:] or ["503"])), ("retry-after", rest[0]))
            case _:
                self._respond(200)

    def _respond(self, status: int, *headers: tuple[str, str]) -> None:
        body = f"answer {status}".encode()
        self.send_response(status)
        for name, value in (*headers, ("content-length", str(len(body)))):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """A server with a long accept queue."""

    request_queue_size = 128
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Ignore errors from killed senders."""


if __name__ == "__main__":
    server = Server((sys.argv[2], 0), Handler)
    sys.stdout.write(f"{server.server_address[1]}\n")
    sys.stdout.flush()
    server.serve_forever()
