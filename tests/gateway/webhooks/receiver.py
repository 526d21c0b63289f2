"""The receiver process and the messages it received."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from standardwebhooks.webhooks import Webhook

from tests.timing import TIMEOUT_SECONDS

T = TypeVar("T")


@dataclass(frozen=True)
class Message:
    """One received request."""

    at: float
    path: str
    headers: dict[str, str]
    body: str

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def event(self) -> dict[str, Any]:
        """Any: JSON."""
        read: dict[str, Any] = json.loads(self.body)
        return read

    @property
    def data(self) -> dict[str, Any]:
        """Any: JSON."""
        found: dict[str, Any] = self.event["data"]
        return found

    def verify(self, secret: str) -> None:
        """Raise if the independent library rejects the signature."""
        Webhook(secret).verify(self.body.encode(), self.headers)


class Receiver:
    """A process that is sent webhooks."""

    def __init__(self, folder: Path, address: str = "127.0.0.1") -> None:
        self._log_path = folder / "received.jsonl"
        self._address = address
        program = "tests.gateway.webhooks.receiver_program"
        self._process = subprocess.Popen(
            [sys.executable, "-m", program, str(self._log_path), address],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def url(self, path: str) -> str:
        return f"http://{self._address}:{self.port}/{path}"

    def messages(self, path: str | None = None) -> list[Message]:
        """Return the messages received so far, in order."""
        if not self._log_path.exists():
            return []
        whole = self._log_path.read_text().rpartition("\n")[0]
        found = [Message(**json.loads(line)) for line in whole.splitlines()]
        return [message for message in found if path is None or message.path == f"/{path}"]

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


async def eventually(look: Callable[[], T], good: Callable[[T], object] = bool) -> T:
    """Wait until `good` accepts what `look` returns; return that."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not good(found := look()):
        assert time.monotonic() < deadline, str(found)[:500]
        await asyncio.sleep(0.02)
    return found
