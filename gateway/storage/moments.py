"""The database's own clock: what leases are compared with, whatever the machines' clocks say."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Float, literal
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.functions import FunctionElement

from gateway.storage.tables import UtcTime


class Moment(FunctionElement[datetime]):
    """Some seconds from now; NULL where the seconds are."""

    inherit_cache = True
    type = UtcTime()


def after(seconds: float | ColumnElement[float] = 0.0) -> Moment:
    """Return the moment `seconds` from now, as the database evaluates it in a statement."""
    given = seconds if isinstance(seconds, ColumnElement) else literal(float(seconds), Float)
    return Moment(given)


# Any: the options of SQLAlchemy's compilers, passed on
@compiles(Moment, "sqlite")
def _sqlite(element: Moment, compiler: SQLCompiler, **options: Any) -> str:
    # Six digits after the point, as SQLAlchemy writes times: they are compared as text.
    seconds = compiler.process(element.clauses, **options)
    return f"(strftime('%Y-%m-%d %H:%M:%f', 'now', {seconds} || ' seconds') || '000')"


@compiles(Moment, "postgresql")
def _postgresql(element: Moment, compiler: SQLCompiler, **options: Any) -> str:
    # Not clock_timestamp(): no index serves a comparison with what changes within a statement.
    seconds = compiler.process(element.clauses, **options)
    return f"(statement_timestamp() + {seconds} * interval '1 second')"
