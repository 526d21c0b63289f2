"""Measures the statements of an engine by SQLAlchemy's events."""

from __future__ import annotations

from time import perf_counter
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import IntegrityError

from telemetry.instruments import Registry

_BEGAN = "began"


def measure_queries(engine: Engine, registry: Registry) -> None:
    """Register the instruments and update them with each statement."""
    seconds = registry.histogram(
        "database_query_seconds", "Time that a statement of the database took."
    ).child()
    errors = registry.counter(
        "database_errors_total", "Statements that the database refused, or lost with a connection."
    ).child()

    # Any: the DBAPI's cursor, parameters and context
    def begin(connection: Connection, *_: Any) -> None:
        connection.info[_BEGAN] = perf_counter()

    def end(connection: Connection, *_: Any) -> None:
        seconds.observe(perf_counter() - connection.info[_BEGAN])

    def fail(context: ExceptionContext) -> None:
        # A database that refuses a second row of one kind works: callers rely on it.
        if not isinstance(context.sqlalchemy_exception, IntegrityError):
            errors.add()

    event.listen(engine, "before_cursor_execute", begin)
    event.listen(engine, "after_cursor_execute", end)
    event.listen(engine, "handle_error", fail)
