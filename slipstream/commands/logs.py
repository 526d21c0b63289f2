"""`slipstream logs`: the log of the installation on this host."""

from __future__ import annotations

import re
import sys
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from enum import StrEnum, auto
from pathlib import Path
from typing import Annotated

import typer

from slipstream import options
from slipstream.failures import UnusableError, exit_on_error
from slipstream.log_files import all_files, log_file
from slipstream.log_lines import LineFilter, LogLine, LogReader
from telemetry.logs import text_renderer

_MORE = """

All processes of `slipstream up` write it, from level info on, whatever stderr shows. It can be read
when nothing runs, too. Ctrl-C ends --follow. With --json each line is as it is in the file.

$ slipstream logs --follow
$ slipstream logs --level warning --since 10m
$ slipstream logs --request-id req_0198d3f0-5d1c-7c3e-9a51-6f2f0c3b8f10
$ slipstream logs --process supervisor --json | jq -r .event
"""
_DURATION = re.compile(r"([0-9]{1,6})(s|m|h|d)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_ID_BEGINNING = re.compile(r"[0-9a-f]{8}[0-9a-f-]{0,28}")
_DEFAULT_LINES = 100
_MAX_LINES = 1_000_000
"""They are in memory before they are printed."""


class Level(StrEnum):
    """Least level of a line."""

    DEBUG = auto()
    INFO = auto()
    WARNING = auto()
    ERROR = auto()


class Process(StrEnum):
    """What kind of process has written a line."""

    GATEWAY = auto()
    WORKER = auto()
    INFERENCE_SERVER = auto()
    SUPERVISOR = auto()


def _since(text: str) -> datetime:
    """Return a moment that is given as a time before now, or as a time of this zone."""
    if duration := _DURATION.fullmatch(text):
        return datetime.now(UTC) - timedelta(**{_UNITS[duration[2]]: int(duration[1])})
    try:
        return datetime.fromisoformat(text).astimezone()
    except ValueError:
        message = f"expected a duration such as 90s, 10m, 2h or 1d, or a time, got '{text}'"
        raise typer.BadParameter(message) from None


def register(application: typer.Typer, noun: str, text: str) -> None:
    """Add the command."""
    application.command(noun, help=text + _MORE)(logs)


def logs(
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new lines.")] = False,
    lines: Annotated[
        int,
        typer.Option("--lines", "-n", min=0, max=_MAX_LINES, help="How many of the last lines."),
    ] = _DEFAULT_LINES,
    level: Annotated[Level | None, typer.Option(help="Lines of this level or above.")] = None,
    since: Annotated[
        datetime | None,
        typer.Option(
            parser=_since, metavar="TIME", help="Lines since then: 90s, 10m, 2h, 1d, or a time."
        ),
    ] = None,
    process: Annotated[Process | None, typer.Option(help="Lines of such processes.")] = None,
    model: Annotated[
        str | None, typer.Option(metavar="NAME", help="Lines about a model or its servers.")
    ] = None,
    deployment: Annotated[
        str | None,
        typer.Option(
            metavar="ID|NAME",
            help="Lines about a deployment: its id, 8 or more of it, or its name.",
        ),
    ] = None,
    request_id: Annotated[
        str | None, typer.Option(metavar="ID", help="Lines of one request: its X-Request-ID.")
    ] = None,
    run_id: Annotated[
        str | None, typer.Option(metavar="ID", help="Lines of one run: its id, or 8 or more of it.")
    ] = None,
    state: options.State = options.DEFAULT_STATE,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the lines as JSON, for scripts.", is_eager=True)
    ] = False,
) -> None:
    """Print the last lines of the log that match."""
    with exit_on_error(as_json=as_json), suppress(KeyboardInterrupt, BrokenPipeError):
        file = _existing_file(state)
        wanted = LineFilter(
            model=model,
            deployments=() if deployment is None else _deployments(deployment, state),
            request_id=request_id,
            run_id=None if run_id is None else _id_beginning("--run-id", run_id),
            level=level,
            process=process,
            since=since,
        )
        output = _Output(as_json=as_json)
        with closing(LogReader(file, wanted)) as reader:
            for line in reader.last(lines):
                output.write(line)
            output.flush()
            for following in reader.follow() if follow else ():
                if following is None:
                    output.flush()
                else:
                    output.write(following)


def _existing_file(state: Path) -> Path:
    """Return the newest file of the log of an installation.

    Raises:
        UnusableError: there is no installation, or it has no log.
    """
    if not state.exists():
        # It takes a second to import.
        from slipstream.state_location import locate_existing  # noqa: PLC0415
        from slipstream.terminal import Terminal  # noqa: PLC0415

        state = locate_existing(state, Terminal(as_json=False))
    file = log_file(state)
    if not any(each.exists() for each in all_files(file)):  # the newest is made by its first line
        message = (
            f"{file.absolute()} does not exist: `slipstream up` on this state folder makes it, "
            "unless SLIPSTREAM_LOG_FILE_BYTES is 0; on another machine or in a container, look at "
            "what its processes write to stderr"
        )
        raise UnusableError(message)
    return file


def _id_beginning(option: str, text: str) -> str:
    if not _ID_BEGINNING.fullmatch(text.lower()):
        message = f"expected an id, or the first 8 characters of it or more, got '{text}'"
        raise typer.BadParameter(message, param_hint=option)
    return text.lower()


def _deployments(text: str, state: Path) -> list[str]:
    """Return the ids of the deployments of that name, or the beginning of an id itself.

    Raises:
        GatewayError, StorageError, UnusableError: there is none, or the database cannot be used.
    """
    if _ID_BEGINNING.fullmatch(text.lower()):
        return [text.lower()]
    # It takes a second to import.
    from slipstream.deployment_names import ids_of_deployment  # noqa: PLC0415

    return ids_of_deployment(text, state)


class _Output:
    """Prints lines: for people, coloured on a terminal, or as they are."""

    def __init__(self, *, as_json: bool) -> None:
        self._render = None if as_json else text_renderer(colors=sys.stdout.isatty())

    def write(self, line: LogLine) -> None:
        """Print a line."""
        if self._render is None:
            text = line.raw.decode(errors="replace")
        else:
            text = self._render(None, "", dict(line.fields))
        sys.stdout.write(f"{text}\n")

    def flush(self) -> None:
        """Have everything appear that was printed."""
        sys.stdout.flush()
