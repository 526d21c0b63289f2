"""Fast calls that are answered after their run was written, with its id.

The prediction, or the error, is held back until the transaction with the run is committed. Nothing
that a client was told is lost if the process is killed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from time import perf_counter

from gateway.body_parsing.parser import LARGE_BODY_BYTES
from gateway.errors import GatewayError
from gateway.fast_path.answerable_call import AnswerableCall
from gateway.fast_path.finished_runs import completed_run, failed_run, new_run
from gateway.fast_path.replies import fast_body
from gateway.fast_path.run_writer import RESULT_WITHHELD, RunWriter, database_error
from gateway.runs.idempotency import HEADER, read_idempotency
from gateway.runs.responses import accepted_body, error_of_run, run_location
from gateway.runs.run import FinishedRun, NewRun, Run, RunStatus
from gateway.runs.store import RunStore
from gateway.web.problems import Headers

_MAX_WRITE_SECONDS = 5.0
"""For the database to answer; longer than that, and the caller is told that it does not."""
_GRACE_SECONDS = 1.0
"""To write the run of a call whose deadline has come."""
_MAX_FAILURE_SECONDS = 1.0
"""For the run of a failed call to be written before the answer, where the answer can do without."""
_JSON = (b"content-type", b"application/json")


class RecordedCall:
    """A call whose run is written before its answer; without the run it has no answer but a 503.

    With an Idempotency-Key, a call that was answered before is answered again from its run. Two
    that arrive together may both be executed, which changes nothing outside: both are answered from
    the run that was written first.
    """

    def __init__(self, call: AnswerableCall, writer: RunWriter, store: RunStore) -> None:
        assert call.route is not None
        self.seconds = 0.0
        """The duration of the run: that of the call until its prediction, or error, was there."""
        self._call = call
        self._route = call.route
        self._writer = writer
        self._store = store
        self._new: NewRun | None = None
        self._pending = _Pending(self._on_late)
        self._task: asyncio.Task[None] | None = None
        self._error: GatewayError | None = None
        self._output_data = b""

    def start(self, body: bytes) -> None:
        """Execute the call, if it does not repeat one.

        Raises:
            GatewayError: as `RunWriter.check`, and as `AnswerableCall.execute`.
        """
        self._writer.check()
        if HEADER in self._call.headers:
            self._pending.begin(self._limit())
            self._task = asyncio.create_task(self._repeat_or_execute(body))
        else:
            self._new = new_run(self._call, self._route)
            self._call.execute(self._route, body)

    def abandon(self) -> None:
        """Stop: nothing waits for the answer. A run that is being written is written."""
        self._pending.end()

    def completed(self, output_data: bytes) -> None:
        """Take the prediction, of which the call's `ended` and `stages` are set."""
        self._output_data = output_data
        self._write(completed_run(self._call, output_data, self._new))

    def failed(self, error: GatewayError) -> None:
        """Take the inference server's error: one that may pass is not repeated for its key."""
        self._error = error
        new = self._new
        if new is not None and error.code.retryable:
            new = replace(new, idempotency=None)
        self._write(failed_run(self._call, error, new))

    def timing_line(self) -> bytes:
        """Return the header line that says what the write took, in milliseconds."""
        seconds = self._call.ended - self._call.began - self.seconds
        return b"server-timing: write;dur=%.3f\r\n" % (seconds * 1e3)

    async def _repeat_or_execute(self, body: bytes) -> None:
        try:
            self._new = await self._keyed_run(body)
            repeated = await self._store.find_repeated(self._new)
        except Exception as error:  # noqa: BLE001 - `fail` knows which are bugs
            if self._pending.end():
                self._call.fail(error)
            return
        if not self._pending.end():
            return
        try:
            if repeated is None:
                self._call.execute(self._route, body)
            else:
                self._replay(repeated)
        except Exception as error:  # noqa: BLE001 - `fail` knows which are bugs
            self._call.fail(error)

    async def _keyed_run(self, body: bytes) -> NewRun:
        value = self._call.headers[HEADER]
        given = value, self._route.identity, self._route.deployment.id, body
        if len(body) > LARGE_BODY_BYTES:  # hashing takes milliseconds
            idempotency = await asyncio.to_thread(read_idempotency, *given)
        else:
            idempotency = read_idempotency(*given)
        return new_run(self._call, self._route, idempotency)

    def _write(self, finished: FinishedRun) -> None:
        self.seconds = self._call.ended - self._call.began
        try:
            written = self._writer.put(finished)
        except GatewayError as error:
            self._call.fail(error)
            return
        self._pending.begin(self._limit())
        written.add_done_callback(self._on_written)

    def _limit(self) -> float:
        left = self._call.timeout - (perf_counter() - self._call.began)
        return min(_MAX_WRITE_SECONDS, max(_GRACE_SECONDS, left))

    def _on_written(self, written: asyncio.Future[Run | GatewayError]) -> None:
        failed = written.exception() is not None  # the writer logs it
        if not self._pending.end():
            return
        if failed:
            self._on_late()
            return
        try:
            self._answer(written.result())
        except Exception as error:  # noqa: BLE001 - `fail` knows which are bugs
            self._call.fail(error)

    def _on_late(self) -> None:
        self._call.fail(database_error(RESULT_WITHHELD))

    def _answer(self, stored: Run | GatewayError) -> None:
        call = self._call
        if isinstance(stored, GatewayError):
            call.fail(stored)
        elif stored.id != call.run_id:
            self._replay(stored)
        elif self._error is not None:
            call.fail(self._error.with_details(flow_run_id=call.run_id))
        elif stored.status is RunStatus.FAILED:  # the output is larger than a run may keep
            call.fail(error_of_run(stored))
        else:
            call.ended = perf_counter()
            call.succeed_fast(self._output_data)

    def _replay(self, run: Run) -> None:
        """Answer the call from the run that it repeats."""
        call = self._call
        if not run.ended:  # of another mode, which the deployment had
            location = run_location(run.id).encode()
            headers: Headers = [_JSON, (b"location", location), (b"retry-after", b"1")]
            call.succeed(202, headers, accepted_body(run, call.response_format))
        elif run.status is not RunStatus.COMPLETED:
            call.fail(error_of_run(run, replayed=True))
        else:
            seconds = run.duration_seconds or 0.0
            output_data = run.output_data or b"{}"
            body = fast_body(output_data, seconds, run.id.encode(), call.response_format)
            call.succeed(200, [_JSON, (b"idempotent-replayed", b"true")], b"".join(body))


class RecordedFailure:
    """A failed call that is answered after its run was written, or after a moment without its id.

    Without the database, `keep` takes the run, to be written later.
    """

    def __init__(
        self, call: AnswerableCall, error: GatewayError, keep: Callable[[FinishedRun], None]
    ) -> None:
        self._call = call
        self._error = error
        self._keep = keep
        self._finished = failed_run(call, error)
        self._pending = _Pending(lambda: call.fail(error))

    def start(self, writer: RunWriter) -> bool:
        """Have the run written, and then the call answered; return False if it is answered now."""
        try:
            written = writer.put(self._finished)
        except GatewayError:
            self._keep(self._finished)
            self._call.fail(self._error)
            return False
        self._pending.begin(_MAX_FAILURE_SECONDS)
        written.add_done_callback(self._on_written)
        return True

    def abandon(self) -> None:
        """Stop: nothing waits for the answer."""
        self._pending.end()

    def _on_written(self, written: asyncio.Future[Run | GatewayError]) -> None:
        lost = written.exception() is not None
        if lost:
            self._keep(self._finished)
        if self._pending.end():
            details = {} if lost else {"flow_run_id": self._call.run_id}
            self._call.fail(self._error.with_details(**details))


class _Pending:
    """The wait of a call for the database, which ends once: by an answer, a limit or its caller."""

    def __init__(self, on_late: Callable[[], None]) -> None:
        self._on_late = on_late
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, limit: float) -> None:
        """Call `on_late` after `limit` seconds, unless the wait has ended."""
        self._timer = asyncio.get_running_loop().call_later(limit, self._late)

    def end(self) -> bool:
        """End the wait; return False if it had ended."""
        timer, self._timer = self._timer, None
        if timer is None:
            return False
        timer.cancel()
        return True

    def _late(self) -> None:
        self._timer = None
        self._on_late()
