"""`slipstream webhooks listen` as a real process, with the documents that it prints."""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

from tests.slipstream.running import environment
from tests.timing import TIMEOUT_SECONDS

# Any, here and below: JSON
Json = dict[str, Any]


class Listener:
    """A listener that prints JSON."""

    def __init__(self, *options: str, secret: str | None = None) -> None:
        command = [sys.executable, "-m", "slipstream", "webhooks", "listen", "--json", *options]
        extra = {} if secret is None else {"SLIPSTREAM_WEBHOOK_SECRET": secret}
        if "--port" not in options:
            command += ["--port", "0"]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**environment(), **extra},
        )
        weakref.finalize(self, self._process.kill)
        self._lines: queue.Queue[Json | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.listening = self.next()
        self.url: str = self.listening["url"]

    def next(self, wanted: Callable[[Json], bool] = lambda _: True) -> Json:
        """Return the next document that matches."""
        while True:
            document = self._lines.get(timeout=TIMEOUT_SECONDS)
            assert document is not None, f"it has ended: {self._errors()}"
            if wanted(document):
                return document

    def close(self, number: int = signal.SIGINT) -> Json:
        """Stop it as Ctrl-C does; return its summary."""
        self._process.send_signal(number)
        status = self._process.wait(TIMEOUT_SECONDS)
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()
        errors = self._errors()
        assert status == 0, errors
        assert "Traceback" not in errors, errors
        return self.next(lambda document: document["kind"] == "summary")

    def _errors(self) -> str:
        assert self._process.stderr is not None
        with self._process.stderr as errors:
            return errors.read()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(json.loads(line))
        self._lines.put(None)
