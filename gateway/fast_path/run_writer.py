"""Writes the runs of fast calls before these are answered: many in one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from sqlalchemy.exc import SQLAlchemyError

from gateway.errors import GatewayError
from gateway.runs.run import FinishedRun, Run
from gateway.runs.store import RunStore
from gateway.storage.batch_writer import BatchWriter
from protos.errors import ErrorCode
from telemetry.logs import logger, reason_of

RESULT_WITHHELD = "the result is withheld; send the call again"
MAX_WAITING = 5_000
"""Runs that may wait for the database: it takes one to two seconds to write as many."""
MAX_OUTPUT_BYTES = 64 * 1024 * 1024
"""Of the outputs that may wait with them."""
_MAX_BATCH = 200
"""Runs of a transaction: on SQLite no other process can write meanwhile."""
_CLOSE_SECONDS = 5.0
_AWAY_RETRY_SECONDS = 2.0
_BUSY_RETRY_SECONDS = 1.0

log = logger("gateway.fast_path")


class RunWriter:
    """A bounded queue of runs in front of the database. For one event loop."""

    def __init__(self, store: RunStore, database_answers: Callable[[], bool]) -> None:
        self._store = store
        self._batches = BatchWriter(self._write, max_batch=_MAX_BATCH)
        self._database_answers = database_answers
        self._waiting = 0
        self._output_bytes = 0

    def check(self, consequence: str = "nothing was executed") -> None:
        """Check that a run could be written now; `consequence` says what it means if not.

        Raises:
            GatewayError: DATABASE_UNAVAILABLE or RECORDING_OVERLOADED.
        """
        if not self._database_answers():
            raise database_error(consequence)
        if self._waiting >= MAX_WAITING or self._output_bytes >= MAX_OUTPUT_BYTES:
            message = (
                f"{self._waiting} fast calls wait for their runs to be written, which is as many as"
                f" may: {consequence}"
            )
            raise GatewayError(
                ErrorCode.RECORDING_OVERLOADED, message, retry_after=_BUSY_RETRY_SECONDS
            )

    def put(self, finished: FinishedRun) -> asyncio.Future[Run | GatewayError]:
        """Return what `RunStore.record_finished` returns for a run, later.

        Raises:
            GatewayError: as `check`.
        """
        self.check(RESULT_WITHHELD)
        size = len(finished.ending.output_data or b"")
        self._waiting += 1
        self._output_bytes += size
        written = self._batches.put(finished)
        written.add_done_callback(lambda _: self._on_written(size))
        return written

    async def close(self) -> None:
        """Wait until the runs of abandoned calls are written."""
        await self._batches.drain(_CLOSE_SECONDS)

    async def _write(self, batch: Sequence[FinishedRun]) -> Sequence[Run | GatewayError]:
        try:
            return await self._store.record_finished(batch)
        except (SQLAlchemyError, OSError) as error:
            log.warning("runs_not_recorded", runs=len(batch), reason=reason_of(error))
            raise

    def _on_written(self, size: int) -> None:
        self._waiting -= 1
        self._output_bytes -= size


def database_error(consequence: str) -> GatewayError:
    """Return the error of a call whose run cannot be written."""
    message = f"the database does not answer, so the run cannot be recorded: {consequence}"
    return GatewayError(ErrorCode.DATABASE_UNAVAILABLE, message, retry_after=_AWAY_RETRY_SECONDS)
