"""`slipstream` and `python -m slipstream`.

Commands that become processes parse their options without Typer: importing it takes a third of the
second within which `up` must answer.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib import import_module

from telemetry import garbage_collection

PROCESSES: Mapping[str, str] = {
    "up": "slipstream.commands.up",
    "gateway": "slipstream.commands.gateway",
    "inference-server": "slipstream.commands.inference_server",
    "join": "slipstream.commands.join",
    "worker": "slipstream.commands.worker",
}
"""`up` and `worker` resume garbage collection themselves; the others become another program."""

_OWNER_ONLY_UMASK = 0o077
"""All files are for their owner only: they contain runs, hashes of keys, and models."""


def main() -> None:
    """Run the command line; exits with one of `slipstream.failures.ExitStatus`."""
    os.umask(_OWNER_ONLY_UMASK)
    garbage_collection.pause()
    command = sys.argv[1] if len(sys.argv) > 1 else ""
    if command in PROCESSES:
        import_module(PROCESSES[command]).main(sys.argv[2:])
    else:
        cli = import_module("slipstream.cli")
        application = cli.build(called=cli.noun_of(command or _completed_command()))
        garbage_collection.resume()
        application(prog_name="slipstream")


def _completed_command() -> str:
    """Return the command of the line that a shell wants completed: Typer has it from here, too."""
    environment = os.environ  # noqa: TID251 - no settings: what a shell says of its line
    line = environment.get("COMP_WORDS") or environment.get("_TYPER_COMPLETE_ARGS") or ""
    words = line.split()
    return words[1] if len(words) > 1 and words[1] not in PROCESSES else ""


if __name__ == "__main__":
    main()
