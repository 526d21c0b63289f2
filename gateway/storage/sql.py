"""SQL that SQLite and PostgreSQL write differently, as expressions that work on both."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Any, Self

from sqlalchemy import (
    ARRAY,
    JSON,
    BigInteger,
    Boolean,
    ColumnClause,
    Dialect,
    Float,
    FromClause,
    String,
    Text,
    TypeDecorator,
    bindparam,
    cast,
    column,
    func,
    literal,
    literal_column,
    select,
    text,
)
from sqlalchemy import Table as SqlTable
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.operators import OperatorType
from sqlalchemy.types import TypeEngine

from gateway.storage.tables import Table, UtcTime

_ADVISORY_LOCK = text("SELECT pg_advisory_xact_lock(:key)")
_IN_JSON_LIST = "({column} IN (SELECT value FROM json_each({texts})))"  # filled with compiled SQL
_ADVISORY_LOCKS = text("SELECT pg_advisory_xact_lock(key) FROM unnest(:keys) AS key").bindparams(
    bindparam("keys", type_=ARRAY(BigInteger))
)


def sql_literal(value: str) -> ColumnClause[str]:
    """Return one of our own constants as SQL text, not as a parameter.

    A partial index serves a query only if the query spells out the index's condition.
    """
    return literal_column(f"'{value}'", String())


def dialect_insert(
    table: SqlTable | type[Table], dialect: str
) -> postgresql.Insert | sqlite.Insert:
    """Return the dialect's INSERT, which has ON CONFLICT."""
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)


async def advisory_locks(session: AsyncSession, names: Collection[str]) -> None:
    """Lock several names as `advisory_lock` does, in an order that lets no two callers deadlock."""
    if session.get_bind().dialect.name == "postgresql":
        await session.execute(_ADVISORY_LOCKS, {"keys": sorted(map(_lock_key, names))})


async def advisory_lock(session: AsyncSession, name: str) -> None:
    """Make other transactions that lock `name` wait until this one has ended.

    For a `write` session: on SQLite a write transaction already excludes all others.
    """
    if session.get_bind().dialect.name == "postgresql":
        await session.execute(_ADVISORY_LOCK, {"key": _lock_key(name)})


def _lock_key(name: str) -> int:
    digest = blake2b(name.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


class SecondsFromNow(FunctionElement[datetime]):
    """The database's clock plus some seconds; NULL where the seconds are NULL."""

    inherit_cache = True
    type = UtcTime()


def seconds_from_now(seconds: float | ColumnElement[float] = 0.0) -> SecondsFromNow:
    """Return the time `seconds` from now by the database's own clock.

    Leases are compared with it, so that the clocks of the machines do not matter.
    """
    given = seconds if isinstance(seconds, ColumnElement) else literal(float(seconds), Float)
    return SecondsFromNow(given)


class HourOf(FunctionElement[str]):
    """What is equal for all times of an hour, for GROUP BY."""

    inherit_cache = True
    type = Text()


class TextList(TypeDecorator[Sequence[str]]):
    """Several texts as one parameter: an array on PostgreSQL, JSON on SQLite."""

    impl = Text
    cache_ok = True

    # Any: the dialect's own type
    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return the dialect's type."""
        kind: TypeEngine[Any] = ARRAY(String) if dialect.name == "postgresql" else Text()
        return dialect.type_descriptor(kind)

    # Any: a list or a text
    def process_bind_param(self, value: Sequence[str] | None, dialect: Dialect) -> Any:
        """Return `value` as the dialect takes it."""
        texts = list(value or ())
        return texts if dialect.name == "postgresql" else json.dumps(texts)


class InList(FunctionElement[bool]):
    """`column IN (list)`, where the list is one parameter."""

    inherit_cache = True
    type = Boolean()

    def self_group(self, against: OperatorType | None = None) -> Self:  # noqa: ARG002 - as theirs
        """Return the element without `= 1`, for which SQLite would not use an index."""
        return self


class FilterByList(InList):
    """The same, as a condition for which SQLite uses no index."""

    inherit_cache = True


def in_list(column: ColumnElement[str] | InstrumentedAttribute[str], parameter: str) -> InList:
    """Return the condition that `column` is one of the texts bound as `parameter`.

    One parameter gives one statement text for lists of all lengths, so it is prepared once.
    """
    return InList(column, bindparam(parameter, type_=TextList()))


def filter_by_list(column: ColumnElement[str], parameter: str) -> FilterByList:
    """Return what `in_list` does, where another condition selects far fewer rows.

    SQLite without statistics does not know which one that is.
    """
    return FilterByList(column, bindparam(parameter, type_=TextList()))


# Any: the types of columns
def json_rows(parameter: str, dialect: str, columns: Mapping[str, TypeEngine[Any]]) -> FromClause:
    """Return the objects in a JSON array, bound as `parameter`, as rows with these columns.

    As `in_list`, one statement text for any number of rows.
    """
    given = bindparam(parameter, type_=Text())
    if dialect == "postgresql":
        listed = (column(name, type_) for name, type_ in columns.items())
        rows = func.json_to_recordset(cast(given, JSON)).table_valued(*listed, name="given")
        return rows.render_derived(with_types=True)
    each = func.json_each(given).table_valued("value", name="each")
    values = (
        func.json_extract(each.c.value, f"$.{name}", type_=type_).label(name)
        for name, type_ in columns.items()
    )
    return select(*values).subquery("given")


# Any, below: the options of SQLAlchemy's compilers, passed on
@compiles(SecondsFromNow, "sqlite")
def _seconds_on_sqlite(element: SecondsFromNow, compiler: SQLCompiler, **options: Any) -> str:
    # Times are compared as text, so this has six decimals, as SQLAlchemy writes them.
    seconds = compiler.process(element.clauses, **options)
    return f"(strftime('%Y-%m-%d %H:%M:%f', 'now', {seconds} || ' seconds') || '000')"


@compiles(SecondsFromNow, "postgresql")
def _seconds_on_postgresql(element: SecondsFromNow, compiler: SQLCompiler, **options: Any) -> str:
    # Not clock_timestamp(): it changes within a statement, so no index serves a comparison with it.
    seconds = compiler.process(element.clauses, **options)
    return f"(statement_timestamp() + {seconds} * interval '1 second')"


@compiles(HourOf, "sqlite")
def _hour_on_sqlite(element: HourOf, compiler: SQLCompiler, **options: Any) -> str:
    return f"substr({compiler.process(element.clauses, **options)}, 1, 13)"


@compiles(HourOf, "postgresql")
def _hour_on_postgresql(element: HourOf, compiler: SQLCompiler, **options: Any) -> str:
    return f"date_trunc('hour', {compiler.process(element.clauses, **options)}, 'UTC')"


@compiles(InList, "sqlite")
def _in_list_on_sqlite(element: InList, compiler: SQLCompiler, **options: Any) -> str:
    column, texts = (compiler.process(clause, **options) for clause in element.clauses)
    return _IN_JSON_LIST.format(column=column, texts=texts)


@compiles(FilterByList, "sqlite")
def _filter_by_list_on_sqlite(element: FilterByList, compiler: SQLCompiler, **options: Any) -> str:
    # https://sqlite.org/optoverview.html#disqualifying_where_clause_terms_using_unary_
    return _in_list_on_sqlite(element, compiler, **options).replace("(", "(+", 1)


@compiles(InList, "postgresql")
def _in_list_on_postgresql(element: InList, compiler: SQLCompiler, **options: Any) -> str:
    column, texts = (compiler.process(clause, **options) for clause in element.clauses)
    return f"({column} = ANY ({texts}))"
