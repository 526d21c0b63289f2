"""Runs loads one after another, each in a generator process; the first Ctrl-C ends the series."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import IO

from pydantic import BaseModel

from slipstream.bench.plan import LoadPlan
from slipstream.bench.result import LoadProgress, LoadResult

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_GENERATOR = "slipstream.bench.generator"


class _GeneratorMessage(BaseModel):
    """A line from the generator: its progress, or in the end the result."""

    progress: LoadProgress | None = None
    result: LoadResult | None = None


class LoadRunner:
    """Carries out plans until it is interrupted.

    Attributes:
        interrupted: whether SIGINT or SIGTERM came before the end.
    """

    def __init__(self) -> None:
        self.interrupted = False
        self._generator_stdin: IO[bytes] | None = None

    def run(
        self,
        plans: Iterable[LoadPlan],
        on_progress: Callable[[LoadPlan, LoadProgress], None] = lambda _plan, _progress: None,
    ) -> Iterator[LoadResult]:
        """Yield a result for each plan; after an interrupt the last one is shorter, or missing."""
        with self._handle_signals():
            for plan in plans:
                result = self._run_generator(plan, on_progress)
                if result:
                    yield result
                if self.interrupted:
                    return

    def _run_generator(
        self, plan: LoadPlan, on_progress: Callable[[LoadPlan, LoadProgress], None]
    ) -> LoadResult | None:
        # In a process group of its own, Ctrl-C does not reach it: it ends when its stdin closes.
        with subprocess.Popen(
            [sys.executable, "-m", _GENERATOR],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            process_group=0,
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(plan.to_line())
            process.stdin.flush()
            self._generator_stdin = process.stdin
            if self.interrupted:
                process.stdin.close()
            message = _GeneratorMessage()
            for line in process.stdout:
                message = _GeneratorMessage.model_validate_json(line)
                if message.progress:
                    on_progress(plan, message.progress)
            self._generator_stdin = None
        if process.returncode:
            raise RuntimeError(f"the load generator ended with status {process.returncode}")
        return message.result

    @contextmanager
    def _handle_signals(self) -> Iterator[None]:
        previous = {number: signal.signal(number, self._interrupt) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        self.interrupted = True
        if self._generator_stdin:
            self._generator_stdin.close()
