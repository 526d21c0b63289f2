"""Every user of a machine can read its list of processes: no option takes a secret."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer.main

from slipstream.__main__ import PROCESSES
from slipstream.cli import NOUNS, build

SECRET = re.compile(r"password|secret|pepper|token|api.?key|credential")
A_FILE = re.compile(r"_file$")


# Any: Typer brings its own copy of click, whose classes are no classes of click's
def commands(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yield the command and all below it, with what is typed for them."""
    yield path, command
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, f"{path} {name}")


@pytest.mark.parametrize("noun", sorted(set(NOUNS) - set(PROCESSES)))
def test_no_option_takes_a_secret(noun: str) -> None:
    whole = typer.main.get_command(build(called=noun))
    found = dict(commands(whole, "slipstream"))
    assert found[f"slipstream {noun}"].params is not None
    for path, command in found.items():
        values = [option for option in command.params if not getattr(option, "is_flag", False)]
        names = [option.name or "" for option in values]
        taken = [name for name in names if SECRET.search(name) and not A_FILE.search(name)]
        assert not taken, path
