"""Commands run in this process, as `slipstream` would run them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import typer.testing
from typer.testing import CliRunner, Result

from slipstream.cli import build

# It would make the command from its application each time, which takes longer than most commands.
typer.testing._get_command = cache(typer.testing._get_command)


def invoke(
    words: Sequence[str],
    *,
    given: str | None = None,
    env: Mapping[str, str | None] | None = None,
) -> Result:
    """Run `slipstream` with these words, `given` on its stdin, and `env` over the environment."""
    return CliRunner().invoke(build(called=words[0]), words, input=given, env=env)


class Cli:
    """Runs commands on a state folder."""

    def __init__(self, state: Path, *, stateless: bool = False) -> None:
        """Run commands on `state`; those that are `stateless` do not take one."""
        self.state = state
        self._stateless = stateless

    @classmethod
    def of_template(cls, state: Path, template: Path) -> Cli:
        """Return commands on a new state folder whose database is a copy of `template`."""
        state.mkdir(mode=0o700)
        shutil.copy(template, state / "slipstream.db")
        return cls(state)

    def deploy(self, flow: dict[str, Any], *options: str) -> tuple[str, str]:
        """Save a flow and deploy it; return the ids of both. It takes a second."""
        file = self.state.parent / "flow.json"
        file.write_text(json.dumps(flow))
        flow_id: str = self.answer("flows", "create", str(file))["id"]
        return flow_id, self.answer("deployments", "create", "--flow", flow_id, *options)["id"]

    def copy(self, state: Path) -> Cli:
        """Return commands on a copy of the state folder, on which nothing may run meanwhile."""
        shutil.copytree(self.state, state)
        return Cli(state)

    def run(self, *words: str) -> Result:
        state = [] if self._stateless else ["--state", str(self.state)]
        return invoke([*words, *state])

    def answer(self, *words: str) -> Any:
        """Return the one JSON document that a command puts on stdout."""
        result = self.run(*words, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    def refusal(self, *words: str) -> tuple[int, str]:
        """Return exit status and error code of a command that fails; check its line on stderr."""
        result = self.run(*words, "--json")
        assert result.stdout, repr(result.exception)
        error = json.loads(result.stdout)["error"]
        assert f"slipstream: {error['message']}" in result.stderr.splitlines()
        return result.exit_code, error["code"]
