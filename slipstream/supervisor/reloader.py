"""Replaces the program of this process by a new one, which takes over all that is running."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from slipstream.settings import UpOptions, reload_environment
from slipstream.supervisor.handover import VARIABLE, VERSION, Handover
from slipstream.supervisor.reload_files import ReloadRequest

_CHECK_SECONDS = 60.0
_FIXED = ("host", "port", "grpc_port", "grpc_server", "state")
"""Options that a reload cannot change: the sockets and the state folder stay open."""


class ReloadRefusedError(Exception):
    """The new program would not run; the message says why."""


class Successor:
    """The program that a request asks for: the command line and the environment."""

    def __init__(self, request: ReloadRequest) -> None:
        self._command = [*_program(), "up", *_arguments(request)]
        self._environment = reload_environment(request.environment)

    async def check(self, options: UpOptions) -> None:
        """Have the new code read its options, settings and certificates, and open the database.

        Raises:
            ReloadRefusedError: it refuses them, or cannot take over from these options.
        """
        report = await asyncio.to_thread(self._checked)
        if report.get("handover") != VERSION:
            message = "this version cannot take over from the one that runs: stop it, and start"
            raise ReloadRefusedError(f"{message} `slipstream up` again")
        mine = fixed_options(options)
        for name, value in mine.items():
            if report["options"].get(name) != value:
                text = f"{name}: expected {value} as before, got {report['options'].get(name)}"
                raise ReloadRefusedError(f"{text}: a reload cannot change it")

    def exec(self, handover: Handover, variables: Mapping[str, str]) -> NoReturn:
        """Become the new program, with these variables beside its own."""
        environment = {**self._environment, **variables, VARIABLE: handover.pass_on()}
        os.execve(self._command[0], self._command, environment)

    def _checked(self) -> dict[str, Any]:  # Any: JSON
        try:
            done = subprocess.run(
                [*self._command, "--check"],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_CHECK_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ReloadRefusedError(f"{self._command[0]} cannot be run: {error}") from None
        if done.returncode:
            last = done.stderr.strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
            raise ReloadRefusedError(last[0])
        found: dict[str, Any] = json.loads(done.stdout)
        return found


def fixed_options(options: UpOptions) -> dict[str, object]:
    """Return the options that a reload cannot change, and whether servers share processes."""
    fixed = {name: getattr(options, name) for name in _FIXED}
    shared = options.models_per_process > 1
    return {**fixed, "state": str(options.state), "models_share_processes": shared}


def check_report(options: UpOptions) -> str:
    """Return what `slipstream up --check` prints when nothing is wrong."""
    return json.dumps({"handover": VERSION, "options": fixed_options(options)})


def _program() -> list[str]:
    """Return the command that this process was started with, up to `up`."""
    given = len(sys.argv) - 1
    before = sys.orig_argv[1 : len(sys.orig_argv) - given]
    if len(before) == 1 and os.access(before[0], os.X_OK) and Path(before[0]).is_file():
        return before  # a script: its first line names the interpreter, which an upgrade may change
    return [sys.executable, *before]


def _arguments(request: ReloadRequest) -> Sequence[str]:
    return sys.argv[2:] if request.arguments is None else request.arguments
