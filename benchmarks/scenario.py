"""What the scenarios have in common: a command line, progress, a table, bars, a file."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from benchmarks.bars import Bar
from benchmarks.caller import CallFailedError
from benchmarks.installation import SetUpError
from benchmarks.load import GeneratorError
from benchmarks.machine import describe
from benchmarks.model import WrongAnswerError
from benchmarks.processes import ROOT, ServerFailedError
from benchmarks.table import BAR_HEADINGS, bar_cells
from benchmarks.wire import FramingError

_REFRESHES_PER_SECOND = 2
"""Drawing takes CPU time, too."""
_PLAIN_WIDTH = 160
"""Of what goes into a file: rich would cut tables to 80 there."""
_BROKEN = (
    CallFailedError,
    FramingError,
    GeneratorError,
    OSError,
    ServerFailedError,
    SetUpError,
    WrongAnswerError,
)

Draw = Callable[[Path], Path]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a scenario found."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    bars: Sequence[Bar]
    measured: object
    """Everything, for the file: dataclasses and what JSON takes."""
    notes: Sequence[str] = ()
    """How it was measured, and what makes the figures doubtful."""
    draw: Draw | None = None
    """Writes the picture to a path, and returns it."""

    @property
    def held(self) -> bool:
        """Return whether every bar was held."""
        return all(bar.held for bar in self.bars)


@dataclass(slots=True)
class Stage:
    """Where a scenario plays: a folder that is removed afterwards, and its progress."""

    folder: Path
    progress: Progress
    _task: Any = field(init=False)  # Any: rich's number of a task

    def __post_init__(self) -> None:
        self._task = self.progress.add_task("starting", total=None)

    def expect(self, steps: float) -> None:
        """Say how many steps there will be."""
        self.progress.update(self._task, total=steps)

    def say(self, what: str) -> None:
        """Say what goes on."""
        self.progress.update(self._task, description=what)

    def step(self, steps: float = 1) -> None:
        """Say that so many steps are done."""
        self.progress.advance(self._task, steps)

    def tell(self, line: str) -> None:
        """Print a line that stays."""
        self.progress.console.print(line, markup=False, highlight=False)


def play(
    name: str,
    document: str | None,
    add_options: Callable[[argparse.ArgumentParser], None],
    measure: Callable[[argparse.Namespace, Stage], Verdict],
    arguments: Sequence[str] | None = None,
) -> int:
    """Read the command line, measure, tell, write; `document` is the module's own.

    Return 0 if every bar was held, 1 if one was missed, 3 if nothing can be measured here.
    """
    options = _options(name, document or "", add_options, arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # leave no server behind
    console = Console(width=None if sys.stdout.isatty() else _PLAIN_WIDTH)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    try:
        with (
            tempfile.TemporaryDirectory(prefix=f"slipstream-{name}-") as folder,
            Progress(
                *columns, console=console, refresh_per_second=_REFRESHES_PER_SECOND
            ) as progress,
        ):
            verdict = measure(options, Stage(Path(folder), progress))
    except _BROKEN as error:
        console.print(f"{type(error).__name__}: {error}", style="red", markup=False)
        return 3
    except KeyboardInterrupt:
        console.print("Stopped; nothing is written.")
        return 130
    _show(console, verdict)
    if options.output:
        _write(name, options, verdict, console)
    return 0 if verdict.held else 1


def _options(
    name: str,
    document: str,
    add_options: Callable[[argparse.ArgumentParser], None],
    arguments: Sequence[str] | None,
) -> argparse.Namespace:
    first, _, rest = document.partition("\n\n")
    parser = argparse.ArgumentParser(
        f"python -m benchmarks.{name}",
        description=first,
        epilog=rest + "\nexit status: 0 every bar held, 1 one was missed, 3 cannot be measured",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_options(parser)
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="write everything as JSON, and the picture, where there is one, beside it as .svg",
    )
    return parser.parse_args(arguments)


def _show(console: Console, verdict: Verdict) -> None:
    console.print(_table(verdict.headings, verdict.rows))
    for note in verdict.notes:
        console.print(f"* {note}", markup=False, highlight=False)
    console.print()
    bars = _table(BAR_HEADINGS, [])
    for bar in verdict.bars:
        bars.add_row(*bar_cells(bar), style="green" if bar.held else "red")
    console.print(bars)


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for at, heading in enumerate(headings):
        table.add_column(heading, justify="right" if at else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return table


def _write(name: str, options: argparse.Namespace, verdict: Verdict, console: Console) -> None:
    output: Path = options.output
    output.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "scenario": name,
        "machine": describe(ROOT),
        "options": {key: value for key, value in vars(options).items() if key != "output"},
        "bars": [asdict(bar) | {"held": bar.held} for bar in verdict.bars],
        "notes": verdict.notes,
        "measured": verdict.measured,
    }
    form = orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS | orjson.OPT_APPEND_NEWLINE
    output.write_bytes(orjson.dumps(document, option=form))
    written = [output]
    if verdict.draw:
        written.append(verdict.draw(output.with_suffix(".svg")))
    console.print(f"Written: {', '.join(map(str, written))}")
