"""`slipstream doctor`: diagnoses this installation and suggests fixes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import typer
from rich.table import Table
from rich.text import Text

from slipstream import options
from slipstream.doctor.finding import Finding, Level
from slipstream.doctor.machine import check_machine
from slipstream.doctor.running import check_running
from slipstream.doctor.state import check_state
from slipstream.failures import ExitStatus, exit_on_error
from slipstream.installation import find_installation
from slipstream.state_location import Absent, locate, say_where
from slipstream.terminal import Terminal

_MORE = """

Checks ports, database and everything else: as `slipstream up` has configured it on the state
folder, or as the SLIPSTREAM_… variables say where nothing runs. Compares what runs with the
database and with this shell, and changes nothing. The exit status is 1 if something is wrong, as
where nothing runs although `slipstream up` has run there, and 0 with warnings only.
"""
_SIGNS = {Level.GOOD: ("✓", "green"), Level.WARNING: ("!", "yellow"), Level.WRONG: ("✗", "red")}


def register(application: typer.Typer, noun: str, text: str) -> None:
    """Add the command."""
    application.command(noun, help=text + _MORE)(doctor)


def doctor(*, state: options.State = options.DEFAULT_STATE, as_json: options.Json = False) -> None:
    """Run all checks and print the findings."""
    with exit_on_error(as_json=as_json):
        terminal = Terminal(as_json=as_json)
        located = locate(state, Absent.TEMPORARY) or state
        say_where(located, state, terminal)
        installation = find_installation(located)
        with terminal.progress("Checking the machine, the database and the files of every model"):
            persistent = [*check_state(installation.settings)]
            findings = [
                *check_machine(installation),
                *persistent,
                *check_running(installation, persistent),
            ]
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
            text.append(f"\nfix: {finding.fix}", colour)
        report.add_row(Text(sign, colour), finding.subject, text)
    return report
