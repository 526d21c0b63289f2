"""`slipstream` and `python -m slipstream`.

Commands that become processes read their own arguments and start at once: Typer alone, with what
it imports, takes a third of the second within which `up` has to answer.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib import import_module

PROCESSES: Mapping[str, str] = {
    "up": "slipstream.commands.up",
    "gateway": "slipstream.commands.gateway",
    "inference-server": "slipstream.commands.inference_server",
    "worker": "slipstream.commands.worker",
}


_NOBODY_ELSE = 0o077
"""What we and our children write holds runs, keys' hashes and models: for our own user only."""


def main() -> None:
    """Run the command line; exits with one of `slipstream.failures.ExitStatus`."""
    os.umask(_NOBODY_ELSE)
    noun = sys.argv[1] if len(sys.argv) > 1 else ""
    if noun in PROCESSES:
        import_module(PROCESSES[noun]).main(sys.argv[2:])
    else:
        import_module("slipstream.cli").build(called=noun)(prog_name="slipstream")


if __name__ == "__main__":
    main()
