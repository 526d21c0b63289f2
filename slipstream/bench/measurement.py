"""Loads, one after the other, each in a generator process; the first Ctrl-C ends the series."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import IO

from pydantic import BaseModel

from slipstream.bench.plan import Plan
from slipstream.bench.result import Progress, Result

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_GENERATOR = "slipstream.bench.generator"


class _Message(BaseModel):
    """A line of the generator: how it goes, or in the end what was measured."""

    progress: Progress | None = None
    result: Result | None = None


class Series:
    """Measures plans until it is stopped.

    Attributes:
        interrupted: whether SIGINT or SIGTERM came before the end.
    """

    def __init__(self) -> None:
        self.interrupted = False
        self._lifeline: IO[bytes] | None = None

    def run(
        self, plans: Iterable[Plan], watch: Callable[[Plan, Progress], None]
    ) -> Iterator[Result]:
        """Yield what each plan gave; the last one of a stopped series is shorter, or missing."""
        with self._signals():
            for plan in plans:
                result = self._measure(plan, watch)
                if result:
                    yield result
                if self.interrupted:
                    return

    def _measure(self, plan: Plan, watch: Callable[[Plan, Progress], None]) -> Result | None:
        command = [sys.executable, "-m", _GENERATOR]
        # Out of the terminal's foreground group: Ctrl-C is for us, and the pipe's end for it.
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, process_group=0
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(plan.to_line())
            process.stdin.flush()
            self._lifeline = process.stdin
            if self.interrupted:
                self._lifeline.close()
            message = _Message()
            for line in process.stdout:
                message = _Message.model_validate_json(line)
                if message.progress:
                    watch(plan, message.progress)
            self._lifeline = None
        if process.returncode:
            raise RuntimeError(f"the load generator ended with status {process.returncode}")
        return message.result

    @contextmanager
    def _signals(self) -> Iterator[None]:
        before = {number: signal.signal(number, self._stop) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self.interrupted = True
        if self._lifeline:
            self._lifeline.close()
