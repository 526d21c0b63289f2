"""What `up` tells the person who started it: one line for each thing that happens."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from contextlib import suppress

from rich.console import Console
from rich.text import Text


class StatusPrinter:
    """Writes to stdout; with `as_json` to stderr, so that stdout stays with the one document.

    Attributes:
        as_json: whether the answer is to be a JSON document.
    """

    def __init__(self, *, as_json: bool, started_at: float) -> None:
        self.as_json = as_json
        self._started_at = started_at
        self._console = Console(stderr=as_json, highlight=False, soft_wrap=True)

    @property
    def elapsed(self) -> float:
        """Seconds since the command began."""
        return time.monotonic() - self._started_at

    def step(self, subject: str, text: str, style: str = "") -> None:
        """Say that something happened to `subject`."""
        line = Text.assemble(
            (f"{self.elapsed:7.2f} s  ", "dim"), (f"{subject:<18} ", "bold"), (text, style)
        )
        self._print(line)

    def say(self, text: str = "", style: str = "") -> None:
        """Write a line as it is, never wrapped: it may be there to be copied."""
        self._print(Text(text, style))

    def document(self, document: Mapping[str, object]) -> None:
        """Write the one JSON document."""
        with suppress(BrokenPipeError):
            sys.stdout.write(json.dumps(document) + "\n")
            sys.stdout.flush()

    def _print(self, line: Text) -> None:
        # Where whoever was reading has gone, Rich falls silent and asks to exit. We serve on.
        with suppress(SystemExit):
            self._console.print(line)
