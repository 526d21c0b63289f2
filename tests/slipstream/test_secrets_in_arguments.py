"""Every user of a machine can read its list of processes: no option takes a secret."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click
import pytest
import typer.main

from slipstream.__main__ import PROCESSES
from slipstream.cli import NOUNS, build

SECRET = re.compile(r"password|secret|pepper|token|api.?key|credential")
A_FILE = re.compile(r"_file$")


def commands(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    """Yield the command and all below it, with what is typed for them."""
    yield path, command
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            yield from commands(below, f"{path} {name}")


@pytest.mark.parametrize("noun", sorted(set(NOUNS) - set(PROCESSES)))
def test_no_option_takes_a_secret(noun: str) -> None:
    whole = typer.main.get_command(build(called=noun))
    assert isinstance(whole, click.Group)
    for path, command in commands(whole.commands[noun], noun):
        names = [option.name or "" for option in command.params]
        found = [name for name in names if SECRET.search(name) and not A_FILE.search(name)]
        assert not found, path
