"""Tables of lists: a line for each row, whatever the width of the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table

from gateway.ids import is_id, run_id_time
from gateway.search.ids import MIN_LENGTH
from slipstream.terminal import cell_text

_IDS = frozenset({"id", "run"})
"""Columns of ids that commands take by their beginning."""
_ALWAYS = frozenset({"id", "name", "deployment", "what", "state", "status"})
_MAX_FLEXIBLE_WIDTH = 20
"""Of a name or a state beside what names the row, where not every column fits."""
_MIN_FLEXIBLE_WIDTH = 8
_RUN_PREFIX_LENGTH = 18
"""Characters of a run's id: the millisecond that it began in, and 12 random bits."""
_GAP = 2


@dataclass(eq=False)
class _Column:
    heading: str
    cells: Sequence[str]
    is_always_shown: bool

    def __post_init__(self) -> None:
        self.width = max(map(cell_len, (self.heading, *self.cells)))

    @property
    def is_flexible(self) -> bool:
        """Whether its cells can be cut."""
        return self.is_always_shown and self.heading not in _IDS


class ListTable:
    """A table with one line for each row.

    Where the columns do not fit, ids are shortened to beginnings that name one row, names and
    states are cut, and each column is left out that does not fit beside those before it; never
    the first, an id, a name or a state.
    """

    def __init__(self, headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        self._columns = [
            _column(heading, [row[at] for row in rows], is_first=at == 0)
            for at, heading in enumerate(headings)
        ]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        columns = self._columns
        if _width(columns) > options.max_width:
            columns = _fitted(columns, options.max_width)
        shown = Table(box=None, pad_edge=False, header_style="bold", padding=(0, _GAP, 0, 0))
        for column in columns:
            shown.add_column(column.heading, no_wrap=True, overflow="ellipsis", width=column.width)
        for row in zip(*(column.cells for column in columns), strict=True):
            shown.add_row(*map(cell_text, row))
        yield shown


def _column(heading: str, values: Sequence[object], *, is_first: bool) -> _Column:
    moments = [value.astimezone() for value in values if isinstance(value, datetime)]
    zones = {f"{moment:%Z}" for moment in moments}
    always = is_first or heading in _ALWAYS
    if len(zones) != 1:
        return _Column(heading, [_line(value) for value in values], always)
    cells = [
        f"{value.astimezone():%Y-%m-%d %H:%M:%S}" if isinstance(value, datetime) else _line(value)
        for value in values
    ]
    return _Column(f"{heading} ({zones.pop()})", cells, always)


def _line(value: object) -> str:
    return cell_text(value).plain.replace("\n", " ")


def _width(columns: Sequence[_Column]) -> int:
    return sum(column.width for column in columns) + _GAP * (len(columns) - 1)


def _fitted(columns: Sequence[_Column], width: int) -> list[_Column]:
    """Return what fits, with the widths that the columns then have."""
    columns = [
        _Column(it.heading, _shortened(it.cells), it.is_always_shown)
        if it.heading in _IDS
        else _Column(it.heading, it.cells, it.is_always_shown)
        for it in columns
    ]
    kept = [column for column in columns if column.is_always_shown]
    natural = {column.heading: column.width for column in kept}
    flexible = [column for column in kept if column.is_flexible]
    named_by = next((column for column in kept if column.heading in _IDS), kept[0])
    for column in flexible:
        if column is not named_by:
            column.width = min(column.width, _MAX_FLEXIBLE_WIDTH)
    while _width(kept) > width and flexible:
        widest = max(flexible, key=lambda column: column.width)
        if widest.width <= _MIN_FLEXIBLE_WIDTH:
            break
        widest.width -= 1
    for column in columns:
        if column not in kept and _width([*kept, column]) <= width:
            kept.append(column)
    for column in flexible:
        rest = max(width - _width(kept), 0)
        column.width = min(natural[column.heading], column.width + rest)
    return [column for column in columns if column in kept]


def _shortened(cells: Sequence[str]) -> list[str]:
    """Return ids as beginnings that none of the others has; other texts as they are."""
    ids = {cell for cell in cells if is_id(cell)}
    length = _RUN_PREFIX_LENGTH if any(map(run_id_time, ids)) else MIN_LENGTH
    while len({id_[:length] for id_ in ids}) < len(ids):
        length += 1
    return [cell[:length] if cell in ids else cell for cell in cells]
