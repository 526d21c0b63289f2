"""`slipstream doctor`: what is wrong here, and how to mend it."""

from __future__ import annotations

from dataclasses import asdict

import typer
from rich.text import Text

from slipstream import options
from slipstream.doctor.finding import Finding, Level
from slipstream.doctor.machine import check_machine
from slipstream.doctor.state import check_state
from slipstream.failures import ExitStatus, reported
from slipstream.terminal import Terminal
from slipstream.workspace import read_settings

_MORE = """

Ports, database and the rest are looked at as the SLIPSTREAM_… variables set them. The status is 1
where something is wrong; a warning is not.
"""
_SIGNS = {Level.GOOD: ("✓", "green"), Level.WARNING: ("!", "yellow"), Level.WRONG: ("✗", "red")}


def register(application: typer.Typer, noun: str, text: str) -> None:
    """Add the command."""
    application.command(noun, help=text + _MORE)(doctor)


def doctor(*, state: options.State = options.DEFAULT_STATE, as_json: options.Json = False) -> None:
    """Look at everything, and say what was found."""
    with reported(as_json=as_json):
        terminal = Terminal(as_json=as_json)
        settings = read_settings(state=state.absolute())
        with terminal.busy("Looking at the machine, the database and every model's files"):
            findings = [*check_machine(settings), *check_state(settings)]
        healthy = all(finding.level is not Level.WRONG for finding in findings)
        document = {"healthy": healthy, "findings": [asdict(finding) for finding in findings]}
        terminal.show(document, *(_line(finding) for finding in findings))
        if not healthy:
            raise typer.Exit(ExitStatus.REFUSED)


def _line(finding: Finding) -> Text:
    sign, colour = _SIGNS[finding.level]
    line = Text.assemble(
        (f"{sign} ", colour), (f"{finding.subject:<18}", "bold"), (finding.message, "")
    )
    return line.append(f"\n  {'':<18}to mend it: {finding.mend}") if finding.mend else line
