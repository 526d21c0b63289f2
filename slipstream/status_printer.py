"""The status lines of `up` and `worker`: one for each thing that happens."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from contextlib import suppress

from rich.console import Console
from rich.text import Text


class StatusPrinter:
    """Writes to stdout; with `as_json` to stderr, so that stdout has only the JSON document.

    Attributes:
        as_json: whether the result is a JSON document.
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
        """Print what happened to `subject`."""
        line = Text.assemble(
            (f"{self.elapsed:7.2f} s  ", "dim"), (f"{subject:<18} ", "bold"), (text, style)
        )
        self._print(line)

    def say(self, text: str = "", style: str = "") -> None:
        """Print a line unwrapped, so that it can be copied."""
        self._print(Text(text, style))

    def document(self, document: Mapping[str, object]) -> None:
        """Print the JSON document."""
        with suppress(BrokenPipeError):
            sys.stdout.write(json.dumps(document) + "\n")
            sys.stdout.flush()

    def _print(self, line: Text) -> None:
        # If stdout is closed, Rich raises SystemExit; the processes go on without status lines.
        with suppress(SystemExit):
            self._console.print(line)
