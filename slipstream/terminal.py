"""Output of commands: tables and sentences for people, one JSON document for scripts."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from pydantic import BaseModel
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

_WHOLE_WIDTH = 100_000
"""Columns without a terminal, and with --wide: nothing is cut or folded."""
_UNWRAPPED_COLUMNS = frozenset({"id", "key"})
"""Columns whose cells are copied, so never wrapped."""


class Terminal:
    """stdout and stderr of a command."""

    def __init__(self, *, as_json: bool, wide: bool = False) -> None:
        """Write to stdout and stderr; `wide` does not fit tables to the width of the terminal."""
        self._as_json = as_json
        self._out = Console(highlight=False)
        if wide or not self._out.is_terminal:
            self._out.width = _WHOLE_WIDTH
        self._err = Console(stderr=True, highlight=False, soft_wrap=True)

    def show(self, document: BaseModel | object, *views: RenderableType) -> None:
        """Print `document` with --json, else the views."""
        if not self._as_json:
            for view in views:
                self._out.print(view, soft_wrap=isinstance(view, str | Text))
            return
        if isinstance(document, BaseModel):
            sys.stdout.write(document.model_dump_json() + "\n")
        else:
            sys.stdout.write(json.dumps(document) + "\n")
        sys.stdout.flush()

    def show_code(self, code: str, lexer: str) -> None:
        """Print a program: highlighted by a lexer of Pygments on a terminal, else unchanged."""
        if not self._out.is_terminal:
            sys.stdout.write(code)
            return
        from rich.syntax import Syntax  # noqa: PLC0415 - few commands need a highlighter

        highlighted = Syntax("", lexer, background_color="default").highlight(code)
        self._out.print(highlighted, soft_wrap=True, end="")

    @property
    def stderr(self) -> Console:
        """For output beside the result, such as progress."""
        return self._err

    def note(self, text: str) -> None:
        """Print a note to stderr."""
        self._err.print(Text(text, "dim"))

    def warn(self, messages: Iterable[str]) -> None:
        """Print warnings to stderr."""
        for message in messages:
            self._err.print(Text(f"Warning: {message}", "yellow"))

    def note_next_page(self, next_cursor: str | None) -> None:
        """Print how to see the next page, if there is one."""
        if next_cursor is not None:
            self.note(f"There are more: --cursor {next_cursor}")

    @contextmanager
    def progress(self, text: str) -> Iterator[None]:
        """Show that something takes time, with a spinner on a terminal."""
        if not self._err.is_terminal:
            self._err.print(text)
            yield
            return
        with self._err.status(text):
            yield


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, empty: str) -> Table | Text:
    """Return the rows as a table, or the text `empty` if there are none."""
    if not rows:
        return Text(empty)
    shown = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        shown.add_column(column, no_wrap=column in _UNWRAPPED_COLUMNS, overflow="fold")
    for row in rows:
        shown.add_row(*(cell_text(value) for value in row))
    return shown


def facts(**values: object) -> Table:
    """Return names and values, one pair per line."""
    shown = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    shown.add_column(style="bold")
    shown.add_column(overflow="fold")
    for name, value in values.items():
        shown.add_row(name.replace("_", " "), cell_text(value))
    return shown


def cell_text(value: object) -> Text:
    """Return the text of a cell."""
    if isinstance(value, datetime):
        return Text(value.astimezone().strftime("%Y-%m-%d %H:%M:%S %Z"))
    if isinstance(value, list | tuple):
        return Text(", ".join(str(item) for item in value) or "-")
    return Text("-" if value is None or value == "" else str(value))
