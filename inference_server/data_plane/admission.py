"""Admission control: whether one more call fits into the queue, and into its own deadline.

A call that would miss its deadline is refused at once. Left in the queue it would delay calls that
can still be answered, and its client would get nothing either way.
"""

from __future__ import annotations

from time import perf_counter

from inference_server.data_plane.calls import PendingCall
from inference_server.errors import InferenceError
from protos.errors import ErrorCode

_SMOOTHING = 0.1
"""Weight of the latest run in the moving average of the seconds per row."""
_SAFETY_FACTOR = 1.4
"""Runs vary: an accepted call should meet its deadline even if this much slower than average."""


class AdmissionControl:
    """Counts what waits and runs, and estimates how long that takes."""

    def __init__(self, *, threads: int, max_calls: int, max_input_bytes: int) -> None:
        """Let `max_calls` calls or `max_input_bytes` of input wait for one of `threads` threads."""
        self.waiting = 0
        """Calls in the queue."""
        self._waiting_bytes = 0
        self._waiting_rows = 0
        self._threads = threads
        self._max_calls = max_calls
        self._max_bytes = max_input_bytes
        self._row_seconds = 0.0
        self._running: dict[int, tuple[float, int]] = {}
        """Batch number → when its run began, and its rows; of runs on threads."""

    def admit(self, call: PendingCall) -> bool:
        """Count `call` as waiting; return False if the queue is full.

        An empty queue takes a call of any size: the limit of the message is the limit then.

        Raises:
            InferenceError: OVERLOADED if its deadline would pass first.
        """
        profile = call.profile
        if self.waiting:
            if (
                self.waiting >= self._max_calls
                or self._waiting_bytes + profile.input_bytes > self._max_bytes
            ):
                return False
            if call.deadline is not None:
                self._check_deadline(call, call.deadline)
        elif call.deadline is not None and self._running:
            self._check_deadline(call, call.deadline)
        self.waiting += 1
        self._waiting_rows += profile.rows
        self._waiting_bytes += profile.input_bytes
        return True

    def overloaded(self) -> InferenceError:
        """Return the refusal of a call that does not fit into the queue."""
        return InferenceError(
            ErrorCode.OVERLOADED,
            f"the queue is full: {self.waiting} calls with {self._waiting_bytes} bytes of input",
            retry_after=self._estimated_wait(),
        )

    def release(self, calls: int, rows: int, input_bytes: int) -> None:
        """Count calls as waiting no longer: they run, have expired or were cancelled."""
        self.waiting -= calls
        self._waiting_rows -= rows
        self._waiting_bytes -= input_bytes

    def run_started(self, batch: int, rows: int) -> None:
        """Count a run that a thread has taken."""
        self._running[batch] = (perf_counter(), rows)

    def run_ended(self, batch: int) -> None:
        """Stop counting it."""
        del self._running[batch]

    def record_run(self, rows: int, seconds: float) -> None:
        """Update the average of the seconds per row."""
        measured = seconds / rows
        average = self._row_seconds or measured
        self._row_seconds = average + _SMOOTHING * (measured - average)

    def _check_deadline(self, call: PendingCall, deadline: float) -> None:
        remaining = deadline - call.arrived_at
        wait = self._estimated_wait()
        needed = (wait + call.profile.rows * self._row_seconds) * _SAFETY_FACTOR
        if needed > remaining:
            message = (
                f"the response would take about {needed:.3f} s with {self.waiting} calls waiting, "
                f"and the deadline is in {remaining:.3f} s"
            )
            raise InferenceError(ErrorCode.OVERLOADED, message, retry_after=wait)

    def _estimated_wait(self) -> float:
        """Return the seconds until all that waits and runs now is done."""
        now = perf_counter()
        seconds = self._waiting_rows * self._row_seconds
        for started_at, rows in self._running.values():
            seconds += max(0.0, rows * self._row_seconds - (now - started_at))
        return seconds / self._threads
