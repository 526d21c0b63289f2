"""Completion of a line in a shell, and commands in the singular."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

import pytest

from slipstream.cli import NOUNS, noun_of


def _slipstream(*words: str, **variables: str) -> str:
    command = [sys.executable, "-m", "slipstream", *words]
    ended = subprocess.run(
        command, env={**os.environ, **variables}, capture_output=True, text=True, check=False
    )
    assert not ended.stderr
    return ended.stdout


def _completed(line: str) -> Sequence[str]:
    """Return what bash would offer for the last word of the line."""
    words = line.split(" ")
    variables = {"COMP_WORDS": "\n".join(words), "COMP_CWORD": str(len(words) - 1)}
    return _slipstream(_SLIPSTREAM_COMPLETE="complete_bash", **variables).split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("slipstream deploy", ["deploy", "deployments"]),
        ("slipstream keys r", ["rotate"]),
        ("slipstream key r", ["rotate"]),
        ("slipstream deployments list --sta", ["--status", "--state"]),
        ("slipstream up --", ["--help"]),  # its options are parsed without Typer
    ],
)
def test_a_shell_is_offered_commands_and_options(line: str, offered: Sequence[str]) -> None:
    assert _completed(line) == offered


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_is_printed(shell: str) -> None:
    script = _slipstream(_SLIPSTREAM_COMPLETE=f"source_{shell}")
    assert f"_SLIPSTREAM_COMPLETE=complete_{shell}" in script


def test_a_command_is_found_in_the_singular() -> None:
    singular = _slipstream("deployment", "list", "--help")
    assert singular.replace("deployment list", "deployments list") == _slipstream(
        "deployments", "list", "--help"
    )


def test_only_plurals_have_a_singular() -> None:
    assert noun_of("deployment") == "deployments"
    assert [noun_of(noun) for noun in NOUNS] == list(NOUNS)
    assert (noun_of("statu"), noun_of("k8")) == ("statu", "k8")
