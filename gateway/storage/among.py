"""`column IN (a list)` with one parameter: one text, prepared once, for lists of all lengths."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Self

from sqlalchemy import ARRAY, Boolean, Dialect, String, Text, TypeDecorator, bindparam
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.operators import OperatorType
from sqlalchemy.types import TypeEngine


class Texts(TypeDecorator[Sequence[str]]):
    """Several texts as one parameter: an array for PostgreSQL, JSON for SQLite."""

    impl = Text
    cache_ok = True

    # Any: what a dialect keeps it as
    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return the dialect's own type."""
        kind: TypeEngine[Any] = ARRAY(String) if dialect.name == "postgresql" else Text()
        return dialect.type_descriptor(kind)

    # Any: a list or a text
    def process_bind_param(self, value: Sequence[str] | None, dialect: Dialect) -> Any:
        """Return `value` as the dialect takes it."""
        texts = list(value or ())
        return texts if dialect.name == "postgresql" else json.dumps(texts)


class Among(FunctionElement[bool]):
    """Whether a column's text is one of the parameter's."""

    inherit_cache = True
    type = Boolean()

    def self_group(self, against: OperatorType | None = None) -> Self:  # noqa: ARG002 - as theirs
        """Stay as it is: SQLite would not use an index for what is compared with 1."""
        return self


def among(column: ColumnElement[str], parameter: str) -> Among:
    """Return the condition that `column` is one of the texts bound as `parameter`."""
    return Among(column, bindparam(parameter, type_=Texts()))


# Any: the options of SQLAlchemy's compilers, passed on
@compiles(Among, "sqlite")
def _sqlite(element: Among, compiler: SQLCompiler, **options: Any) -> str:
    column, texts = (compiler.process(clause, **options) for clause in element.clauses)
    return f"({column} IN (SELECT value FROM json_each({texts})))"  # noqa: S608 - compiled


@compiles(Among, "postgresql")
def _postgresql(element: Among, compiler: SQLCompiler, **options: Any) -> str:
    column, texts = (compiler.process(clause, **options) for clause in element.clauses)
    return f"({column} = ANY ({texts}))"
