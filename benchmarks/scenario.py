"""Runs one scenario: its command line, its table and bars, and the file with its figures."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson
import psutil
from rich.console import Console
from rich.status import Status
from rich.table import Table

from benchmarks.installation import SetupError
from benchmarks.load import LoadError
from benchmarks.models import WrongAnswerError
from benchmarks.processes import ROOT, ServerFailedError

BAR_HEADINGS = ("Slipstream's", "demanded", "measured", "")
FAILURES = (LoadError, OSError, ServerFailedError, SetupError, WrongAnswerError)
"""Errors that mean that nothing can be measured here."""

_FILE_WIDTH = 160
"""Columns where stdout is not a terminal: rich would wrap tables at 80."""
_PACKAGES = ("onnxruntime", "numpy", "uvicorn", "uvloop", "httptools", "orjson", "fastapi")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A limit and the figure that is held against it, in the unit that `what` names."""

    what: str
    limit: float
    measured: float
    at_least: bool
    """Whether `limit` is a minimum or a maximum."""

    @property
    def held(self) -> bool:
        """Return whether the figure is within the limit."""
        return self.measured >= self.limit if self.at_least else self.measured <= self.limit

    def cells(self) -> tuple[str, ...]:
        """Return the cells below BAR_HEADINGS."""
        demand = f"{'≥' if self.at_least else '≤'} {self.limit:g}"
        return (self.what, demand, f"{self.measured:.2f}", "held" if self.held else "missed")


def at_most(what: str, limit: float, measured: float) -> Bar:
    """Return a bar with a maximum."""
    return Bar(what=what, limit=limit, measured=measured, at_least=False)


def at_least(what: str, limit: float, measured: float) -> Bar:
    """Return a bar with a minimum."""
    return Bar(what=what, limit=limit, measured=measured, at_least=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What a scenario measured."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    bars: Sequence[Bar]
    figures: object
    """Everything, for the file: dataclasses and JSON values."""
    notes: Sequence[str] = ()
    draw: Callable[[Path], Path] | None = None
    """Writes a picture to a path, and returns it."""


@dataclass(slots=True)
class Context:
    """What a scenario works with: its options, a temporary folder, and a status line."""

    options: argparse.Namespace
    folder: Path
    status: Status
    console: Console

    def say(self, what: str) -> None:
        """Show what is going on."""
        self.status.update(what)
        if not self.console.is_terminal:
            self.console.print(what, style="dim", markup=False, highlight=False)

    def tell(self, line: str) -> None:
        """Print a line."""
        self.console.print(line, markup=False, highlight=False)


def run_scenario(
    document: str | None,
    measure: Callable[[Context], Findings],
    options: dict[str, dict[str, Any]],
    arguments: Sequence[str] | None = None,
) -> int:
    """Read the command line, measure, print, and write the file.

    `document` is the scenario module's docstring; `options` are argparse's, by flag.

    Returns:
        0 if every bar was held, 1 if one was missed, 3 if nothing can be measured here.
    """
    name = Path(sys.modules[measure.__module__].__file__ or "").stem
    parsed = _parse(name, document or "", options, arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that every server is stopped
    console = Console(width=None if sys.stdout.isatty() else _FILE_WIDTH)
    try:
        with (
            tempfile.TemporaryDirectory(prefix=f"slipstream-{name}-") as folder,
            console.status("starting") as status,
        ):
            findings = measure(Context(parsed, Path(folder), status, console))
    except FAILURES as error:
        console.print(f"{type(error).__name__}: {error}", style="red", markup=False)
        return 3
    except KeyboardInterrupt:
        console.print("Stopped; nothing is written.")
        return 130
    print_table(console, findings.headings, findings.rows)
    for note in findings.notes:
        console.print(f"* {note}", markup=False, highlight=False)
    print_bars(console, findings.bars)
    if parsed.output:
        _write(name, parsed, findings, console)
    return 0 if all(bar.held for bar in findings.bars) else 1


def print_table(
    console: Console, headings: Sequence[str], rows: Iterable[Sequence[str]], **styles: str
) -> None:
    """Print a table; `styles` are by the first or the last cell of a row."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for at, heading in enumerate(headings):
        table.add_column(heading, justify="right" if at else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row, style=styles.get(row[-1]) or styles.get(row[0]))
    if table.row_count:
        console.print()
        console.print(table)


def print_bars(console: Console, bars: Iterable[Bar]) -> None:
    """Print the bars, coloured by whether they are held."""
    print_table(console, BAR_HEADINGS, [b.cells() for b in bars], held="green", missed="red")


def to_json(document: object) -> bytes:
    """Return indented JSON; dataclasses are dumped, floats rounded to four decimals."""
    options = orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS | orjson.OPT_APPEND_NEWLINE
    return orjson.dumps(
        _rounded(orjson.loads(orjson.dumps(document, option=options))), option=options
    )


def positive(text: str) -> int:
    """Read a whole number from 1 up; argparse reports the ValueError."""
    if int(text) < 1:
        raise ValueError(text)
    return int(text)


def cache_folder() -> Path:
    """Return the folder with the environments of peers and load generators."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "slipstream-benchmarks"


def describe_machine() -> dict[str, Any]:
    """Return processor, cores, memory, versions, and the commit of the working tree."""
    processor, commit = platform.processor() or platform.machine(), "unknown"
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                processor = line.partition(":")[2].strip()
                break
    with suppress(OSError, subprocess.CalledProcessError):
        command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
        commit = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    return {
        "processor": processor,
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in _PACKAGES},
        "commit": commit,
    }


def _parse(
    name: str, document: str, options: dict[str, dict[str, Any]], arguments: Sequence[str] | None
) -> argparse.Namespace:
    description, _, rest = document.partition("\n\n")
    parser = argparse.ArgumentParser(
        f"python -m benchmarks.{name}",
        description=description,
        epilog=f"{rest}\nexit status: 0 every bar held, 1 one was missed, 3 cannot be measured",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for flag, settings in options.items():
        parser.add_argument(flag, **settings)
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="write all figures as JSON, and a picture, if there is one, beside it as .svg",
    )
    return parser.parse_args(arguments)


def _write(name: str, options: argparse.Namespace, findings: Findings, console: Console) -> None:
    output: Path = options.output
    output.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "scenario": name,
        "machine": describe_machine(),
        "options": {key: value for key, value in vars(options).items() if key != "output"},
        "bars": [asdict(bar) | {"held": bar.held} for bar in findings.bars],
        "notes": findings.notes,
        "measured": findings.figures,
    }
    output.write_bytes(to_json(document))
    written = [output]
    if findings.draw:
        written.append(findings.draw(output.with_suffix(".svg")))
    console.print(f"Written: {', '.join(map(str, written))}")


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list) else value
