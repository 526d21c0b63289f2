"""`slipstream doctor`: what is wrong here, and how to mend it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import typer
from rich.table import Table
from rich.text import Text

from slipstream import options
from slipstream.doctor.finding import Finding, Level
from slipstream.doctor.machine import check_machine
from slipstream.doctor.state import check_state
from slipstream.failures import ExitStatus, exit_on_error
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
    with exit_on_error(as_json=as_json):
        terminal = Terminal(as_json=as_json)
        settings = read_settings(state=state.absolute())
        with terminal.progress("Looking at the machine, the database and every model's files"):
            findings = [*check_machine(settings), *check_state(settings)]
        healthy = all(finding.level is not Level.WRONG for finding in findings)
        document = {"healthy": healthy, "findings": [_document(finding) for finding in findings]}
        terminal.show(document, _report(findings))
        if not healthy:
            raise typer.Exit(ExitStatus.REFUSED)


def _document(finding: Finding) -> dict[str, str]:
    """Return a finding as JSON; scripts know the field `fix` as `mend`."""
    document = asdict(finding)
    document["mend"] = document.pop("fix")
    return document


def _report(findings: Sequence[Finding]) -> Table:
    report = Table.grid(padding=(0, 2, 0, 0))
    report.add_column()
    report.add_column(style="bold", no_wrap=True)
    report.add_column(overflow="fold")
    for finding in findings:
        sign, colour = _SIGNS[finding.level]
        text = Text(finding.message)
        if finding.fix:
            text.append(f"\nto mend it: {finding.fix}", colour)
        report.add_row(Text(sign, colour), finding.subject, text)
    return report
