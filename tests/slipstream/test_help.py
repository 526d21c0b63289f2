"""Help on a terminal of 80 columns."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import pytest
import typer.main

from slipstream.__main__ import PROCESSES
from slipstream.cli import NOUNS, build

TYPER_NOUNS = [noun for noun in NOUNS if noun not in PROCESSES]


@pytest.fixture(autouse=True)
def columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


class Help:
    """What the commands of a noun print about themselves."""

    def __init__(self, noun: str, capsys: pytest.CaptureFixture[str]) -> None:
        # Any: Typer brings its own copy of click
        self._root: Any = typer.main.get_command(build(called=noun))
        self._capsys = capsys
        command = self._root.commands[noun]
        self.verbs: dict[str, Any] = getattr(command, "commands", {})
        self.commands: list[tuple[list[str], Any]] = [([noun], command)]
        self.commands += [([noun, verb], each) for verb, each in self.verbs.items()]

    def of(self, *words: str) -> str:
        """Run a command that ends with its help, and return that."""
        assert self._root.main(words, prog_name="slipstream", standalone_mode=False) == 0
        return self._capsys.readouterr().out


@pytest.mark.parametrize("noun", TYPER_NOUNS)
def test_help_names_every_option_whole(noun: str, capsys: pytest.CaptureFixture[str]) -> None:
    text_of = Help(noun, capsys)
    for words, command in text_of.commands:
        text = text_of.of(*words, "-h")
        options = text.splitlines()[text.splitlines().index("Options:") :]
        assert not [line for line in options if re.match(r"\s*-\S*…", line)], words
        for parameter in command.params:
            for name in (*parameter.opts, *parameter.secondary_opts):
                if name.startswith("-"):
                    assert re.search(rf"(?<!\S){name}(?![\w-])", text), (words, name)


@pytest.mark.parametrize("noun", TYPER_NOUNS)
def test_help_keeps_examples_and_first_sentences_whole(
    noun: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text_of = Help(noun, capsys)
    listed = " ".join(text_of.of(noun, "--help").split())
    for verb, command in text_of.verbs.items():
        assert f"{verb} {' '.join(command.short_help.split())}" in listed
    for words, command in text_of.commands:
        lines = text_of.of(*words, "--help").splitlines()
        examples = re.findall(r"^    .*", command.help, re.MULTILINE)
        assert {f"  {example}" for example in examples} <= set(lines), words


@pytest.mark.parametrize("noun", sorted(PROCESSES))
def test_processes_name_every_option_whole(noun: str) -> None:
    command = [sys.executable, "-m", "slipstream", noun, "-h"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    usage, _, listed = text.partition("options:")
    names = re.findall(r"\[(--?[a-z][a-z-]*)", usage)
    assert names
    assert all(re.search(rf"(?<!\S){name}(?![\w-])", listed) for name in names)
