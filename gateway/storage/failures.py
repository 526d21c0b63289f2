"""What became of a step of background work that failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from telemetry.logs import reason_of

if TYPE_CHECKING:  # `telemetry.logs` imports structlog in a way of its own
    from structlog.stdlib import BoundLogger


def log_failure(log: BoundLogger, event: str, error: Exception, **fields: object) -> None:
    """Log why a step failed; its loop goes on, whatever the error was.

    A loop that ended with its first unexpected error would leave its work undone, and the process
    would look well. A database that cannot be used is a warning; anything else is a bug, which is
    logged with its traceback.
    """
    if isinstance(error, (SQLAlchemyError, OSError)):
        log.warning(event, reason=reason_of(error), **fields)
    else:
        log.error(event, exc_info=error, **fields)
