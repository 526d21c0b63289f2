"""Renders the API's response models: several as a table, one as its fields."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import TypeVar

import orjson
from pydantic import BaseModel
from rich.console import RenderableType
from rich.text import Text

from slipstream.list_table import ListTable
from slipstream.terminal import facts, table

Model = TypeVar("Model", bound=BaseModel)
Columns = Mapping[str, str | Callable[[Model], object]]
"""Heading → name of a field, or a function of the model."""

_MINUTE = 60
_ROUNDED_SECOND = 0.9995
"""From here on, three digits of a duration are a second."""
_MAX_JSON_LENGTH = 60


def model_table(models: Sequence[Model], columns: Columns[Model], *, empty: str) -> RenderableType:
    """Return a row for each model, folded where it is long; `empty` is shown if there are none."""
    return table(list(columns), _rows(models, columns), empty=empty)


def model_list(models: Sequence[Model], columns: Columns[Model], *, empty: str) -> RenderableType:
    """Return a line for each model: as many of the columns as fit, the first before the later."""
    return ListTable(list(columns), _rows(models, columns)) if models else Text(empty)


def _rows(models: Sequence[Model], columns: Columns[Model]) -> list[list[object]]:
    return [
        [
            _text(getattr(model, source) if isinstance(source, str) else source(model))
            for source in columns.values()
        ]
        for model in models
    ]


def model_fields(
    model: BaseModel, *, hide: Collection[str] = (), **replaced: object
) -> RenderableType:
    """Return every field with its name, one a line, except `hide`.

    `replaced` are values to show instead of those of fields with these names.
    """
    values = {name: getattr(model, name) for name in type(model).model_fields if name not in hide}
    values |= replaced
    # created_at is shown as "created", last_used_at as "last used"
    return facts(**{name.removesuffix("_at"): _text(value) for name, value in values.items()})


def elapsed(seconds: float | None) -> str:
    """Return a duration: `4.2 ms`, `1.5 s`, `3 min 20 s`; empty for None."""
    if seconds is None:
        return ""
    if seconds < _ROUNDED_SECOND:
        return f"{seconds * 1e3:.3g} ms"
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), _MINUTE)
    return f"{minutes} min {rest} s"


def elapsed_since(moment: datetime) -> str:
    """Return how long ago a moment was."""
    return elapsed(max(0.0, (datetime.now(UTC) - moment).total_seconds()))


def short_json(value: object, max_length: int = _MAX_JSON_LENGTH) -> str:
    """Return a value as JSON, shortened; `nothing` for None."""
    return "nothing" if value is None else shortened(orjson.dumps(value).decode(), max_length)


def shortened(text: str, max_length: int) -> str:
    """Return the text, or its beginning and how long it is."""
    return text if len(text) <= max_length else f"{text[:max_length]} … ({len(text):,} characters)"


def _text(value: object) -> object:
    """Return what `table` and `facts` render: times and lists stay as they are."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, BaseModel):
        fields = value.model_dump().items()
        return ", ".join(f"{name} {item}" for name, item in fields if item is not None)
    if isinstance(value, Mapping):
        return [f"{name} = {item}" for name, item in sorted(value.items())]
    if isinstance(value, list) and value and isinstance(value[0], BaseModel):
        return "\n".join(str(_text(item)) for item in value)
    return value
