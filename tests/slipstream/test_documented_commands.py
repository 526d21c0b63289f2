"""The commands and options that the documentation names exist."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer.main

from slipstream.__main__ import PROCESSES
from slipstream.cli import NOUNS, build
from tests.architecture.repository import ROOT

PAGES = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]
LINE = re.compile(r"(?:^\$ |^|`|\()(?:\.venv/bin/)?slipstream ([a-z][^`|#;)\n]*)", re.MULTILINE)
OPTION = re.compile(r"(?<!\S)--[a-z][a-z-]*")


@cache
def options(noun: str, verb: str) -> frozenset[str] | None:
    """Return the options of a command; None if there is no such command."""
    if noun in PROCESSES:
        command = [sys.executable, "-m", "slipstream", noun, "--help"]
        ended = subprocess.run(command, capture_output=True, text=True, check=True)
        return frozenset(re.findall(r"--[a-z][a-z-]*", ended.stdout))
    # Any: Typer brings its own copy of click
    whole: Any = typer.main.get_command(build(called=noun))
    found = whole.commands.get(noun)
    if found is not None and hasattr(found, "commands"):
        found = found.commands.get(verb) if verb else found
    if found is None:
        return None
    names = (name for one in found.params for name in (*one.opts, *one.secondary_opts))
    return frozenset(names) | {"--help"}


def documented(page: Path) -> Iterator[tuple[str, str, list[str]]]:
    """Yield noun, verb and options of each command line of a page."""
    for line in LINE.findall(page.read_text()):
        noun, *rest = line.split()
        verb = rest[0] if rest and re.fullmatch(r"[a-z][a-z-]*", rest[0]) else ""
        own, _, others = line.partition(" -- ")
        yield noun, verb, OPTION.findall(own)
        if noun == "reload":  # what follows is for `up`
            yield "up", "", OPTION.findall(others)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_documented_commands_and_options_exist(page: Path) -> None:
    for noun, verb, named in documented(page):
        if noun not in NOUNS:
            continue  # a sentence about Slipstream
        known = options(noun, verb)
        assert known is not None, f"slipstream {noun} {verb}"
        assert set(named) <= known, f"slipstream {noun} {verb}: {set(named) - known}"


def test_the_documentation_has_many_command_lines() -> None:
    found = [line for page in PAGES for line in documented(page)]
    assert len(found) > 50
    assert {noun for noun, _, _ in found} >= {"up", "keys", "flows", "webhooks", "bench"}
