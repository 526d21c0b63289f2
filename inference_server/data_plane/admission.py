"""How much there is to do, how long that will take, and whether one more call has a place in it.

A call that would not be answered in time is refused at once: to let it wait takes the room of those
that can be answered, and gives its caller nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter

from inference_server.data_plane.batching import BaseCall
from inference_server.errors import InferenceError
from protos.errors import ErrorCode

_NEWEST = 0.1
"""Weight of the newest run in the mean of what a row takes."""
_MARGIN = 1.4
"""How much longer than usual things may take: a call that is let in should really be answered."""


class AdmissionControl:
    """Calls that wait or run, and what a row of theirs has taken lately."""

    def __init__(self, *, threads: int, calls: int, input_bytes: int) -> None:
        """Let `calls` calls or `input_bytes` of their inputs wait, for `threads` runs at once."""
        self.calls = 0
        """That wait for their run."""
        self._bytes = 0
        self._rows = 0
        self._most_calls = calls
        self._most_bytes = input_bytes
        self._threads = threads
        self._row_seconds = 0.0
        self._running: dict[int, tuple[float, int]] = {}

    def is_full(self, job: BaseCall) -> bool:
        """Whether there is no room for `job`, however long it would wait."""
        too_large = self.calls > 0 and self._bytes + job.input_bytes > self._most_bytes
        return too_large or self.calls >= self._most_calls

    def admit(self, job: BaseCall) -> None:
        """Count `job` as waiting.

        Raises:
            InferenceError: OVERLOADED, with the seconds after which it may be tried again.
        """
        if self.is_full(job):
            message = f"{self.calls} calls with {self._bytes} bytes of input wait already"
            raise InferenceError(ErrorCode.OVERLOADED, message, retry_after=self._seconds())
        if job.deadline is not None and (self.calls or self._running):
            self._check_deadline(job, job.deadline - job.queued)
        self.calls += 1
        self._rows += job.rows
        self._bytes += job.input_bytes

    def leave(self, job: BaseCall) -> None:
        """Count `job` as waiting no more."""
        self.calls -= 1
        self._rows -= job.rows
        self._bytes -= job.input_bytes

    def begin(self, jobs: Sequence[BaseCall]) -> None:
        """Take note of a run that takes its time."""
        self._running[id(jobs)] = (perf_counter(), sum([job.rows for job in jobs]))

    def end(self, jobs: Sequence[BaseCall]) -> None:
        """Take note of that run's end."""
        del self._running[id(jobs)]

    def learn(self, rows: int, seconds: float) -> None:
        """Take note of what a run took."""
        measured = seconds / rows
        mean = self._row_seconds or measured
        self._row_seconds = mean + _NEWEST * (measured - mean)

    def _check_deadline(self, job: BaseCall, left: float) -> None:
        wait = self._seconds()
        needed = (wait + job.rows * self._row_seconds) * _MARGIN
        if needed > left:
            message = (
                f"the answer would take about {needed:.3f} s, with {self.calls} calls waiting, and "
                f"the caller gives it {left:.3f} s"
            )
            raise InferenceError(ErrorCode.OVERLOADED, message, retry_after=wait)

    def _seconds(self) -> float:
        """Return about how long it takes until all that is here has been run."""
        now = perf_counter()
        ahead = self._rows * self._row_seconds
        for began, rows in self._running.values():
            ahead += max(0.0, rows * self._row_seconds - (now - began))
        return ahead / self._threads
