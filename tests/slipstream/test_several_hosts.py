"""The commands of the documentation for several hosts have everything that they ask for."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from slipstream.settings import PREFIX, UpOptions, join_environment
from slipstream.supervisor.fleet_runner import check_settings
from slipstream.supervisor.launch import check_options
from telemetry.options import read

PAGE = Path(__file__).parents[2] / "docs/operations.md"

Command = tuple[dict[str, str], list[str]]


def documented() -> tuple[Command, Command]:
    """Return variables and words of `up` on the first machine, and of `join` on the others."""
    section = PAGE.read_text().partition("## Several hosts")[2]
    block = re.findall(r"```sh\n(.+?)```", section, re.DOTALL)[0]
    first, further = block.split("# on each further one")

    def parts(text: str, command: str) -> Command:
        lines = [shlex.split(line, comments=True) for line in text.splitlines()]
        exported = [word for words in lines if words[:1] == ["export"] for word in words[1:]]
        (options,) = [words[2:] for words in lines if words[:2] == ["slipstream", command]]
        return dict(word.split("=", 1) for word in exported), options

    return parts(first, "up"), parts(further, "join")


def test_the_commands_for_several_hosts_name_all_that_they_need(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("a" * 64)
    here = {"/etc/slipstream.tokens": str(tokens), "/var/lib/slipstream": str(tmp_path)}

    def check(variables: dict[str, str], words: list[str]) -> None:
        """Do as `slipstream up --check` does, with a database that there is."""
        for name, text in variables.items():
            monkeypatch.setenv(name, here.get(text, text))
        monkeypatch.setenv("SLIPSTREAM_DATABASE_URL", f"sqlite:///{tmp_path}/new.db")
        options = [here.get(word, word) for word in words]
        found = read(UpOptions, options, prefix=PREFIX, program="up", description="")
        check_options(found)
        check_settings(found)

    (variables, options), (of_further, (token, *joining)) = documented()
    check(variables, options)
    assert variables["SLIPSTREAM_DATABASE_URL"].startswith("postgresql:")
    assert {"SLIPSTREAM_BROKER_URL", "SLIPSTREAM_MODEL_STORE"} <= variables.keys()
    assert token == "slipstream.token"
    for name in variables:
        monkeypatch.delenv(name)
    for name, text in of_further.items():
        monkeypatch.setenv(name, text)
    check(join_environment({}, tokens), joining)
