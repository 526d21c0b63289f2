"""A webhook receiver process that often fails and logs each message.

    python -m tests.torture.receiver_program LOG SECRETS FAIL

It prints its port. `/good/…` fails for the share FAIL of messages; `/calm/…` never fails; `/dead/…`
reads everything and never answers. SECRETS is a JSON file with secrets by path, written before the
first message; the library `standardwebhooks` verifies signatures. A message whose sender was killed
while sending is logged as truncated.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import sys
import time
from pathlib import Path
from typing import cast

import httptools
import uvloop
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from tests.torture.log import LogEntry, MessageKind

_DISCONNECT_SHARE = 0.2
"""The share of failures that close the connection instead of answering 500."""
_FLUSH_SECONDS = 0.1
_ANSWERS = {
    200: b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nthanks",
    401: b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 5\r\n\r\nwrong",
    500: b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 4\r\n\r\noops",
}


class MessageLog:
    """Verifies messages and logs them."""

    def __init__(self, log_path: Path, secrets: Path, fail: float) -> None:
        self._log = log_path.open("a", buffering=1 << 20)
        self._secrets = secrets
        self._fail = fail
        self._webhooks: dict[str, Webhook] = {}

    def check(self, path: str, headers: dict[str, str], body: bytes) -> int | None:
        """Verify and log a message; return the status to answer, 0 to close, None for no answer."""
        kind, event = MessageKind.BAD, ""
        try:
            read = cast("dict[str, dict[str, str]]", self._webhook(path).verify(body, headers))
            kind, event = MessageKind.GOOD, read["data"]["flow_run_id"]
        except WebhookVerificationError:
            pass
        status = self._status(path, kind)
        entry = LogEntry(
            at=time.time(),
            path=path,
            kind=kind,
            status=status or 0,
            run_id=event,
            message_id=headers.get("webhook-id", ""),
            attempt=int(headers.get("x-webhook-attempt", "0")),
            digest=hashlib.sha256(body).hexdigest()[:16],
        )
        self._log.write(entry.line())
        return status

    def truncated(self, path: str) -> None:
        """Log an incomplete message."""
        entry = LogEntry(
            at=time.time(),
            path=path,
            kind=MessageKind.TRUNCATED,
            status=0,
            run_id="",
            message_id="",
            attempt=0,
            digest="",
        )
        self._log.write(entry.line())

    async def flush(self) -> None:
        """Flush the log periodically."""
        while True:
            self._log.flush()
            await asyncio.sleep(_FLUSH_SECONDS)

    def _status(self, path: str, kind: MessageKind) -> int | None:
        if path.startswith("/dead/"):
            return None
        if kind is MessageKind.BAD:
            return 401
        if path.startswith("/good/") and random.random() < self._fail:
            return 0 if random.random() < _DISCONNECT_SHARE else 500
        return 200

    def _webhook(self, path: str) -> Webhook:
        if path not in self._webhooks:
            secrets = json.loads(self._secrets.read_text())
            self._webhooks = {each: Webhook(secret) for each, secret in secrets.items()}
        return self._webhooks[path]


class ReceiverConnection(asyncio.Protocol):
    """One connection."""

    def __init__(self, message_log: MessageLog) -> None:
        self._message_log = message_log
        self._parser = httptools.HttpRequestParser(self)
        self._begun = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport for responses."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Parse received data."""
        self._parser.feed_data(data)

    def connection_lost(self, _error: Exception | None) -> None:
        """Log an incomplete message."""
        if self._begun:
            self._message_log.truncated(self._path)

    def on_message_begin(self) -> None:
        """Start a message."""
        self._begun = True
        self._path = ""
        self._headers: dict[str, str] = {}
        self._body = bytearray()

    def on_url(self, url: bytes) -> None:
        """Add to the path."""
        self._path += url.decode()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Add a header."""
        self._headers[name.decode().lower()] = value.decode()

    def on_body(self, body: bytes) -> None:
        """Add to the body."""
        self._body += body

    def on_message_complete(self) -> None:
        """Answer as the log decides."""
        self._begun = False
        status = self._message_log.check(self._path, self._headers, bytes(self._body))
        if status:
            self._transport.write(_ANSWERS[status])
        elif status is not None:
            self._transport.close()


async def main() -> None:
    """Receive until killed."""
    log_path, secrets, fail = sys.argv[1:]
    message_log = MessageLog(Path(log_path), Path(secrets), float(fail))
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: ReceiverConnection(message_log), "127.0.0.1", 0, backlog=1024
    )
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await message_log.flush()


if __name__ == "__main__":
    uvloop.run(main())
