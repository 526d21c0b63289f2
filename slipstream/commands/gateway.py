"""`slipstream gateway`: a gateway process, in place of this one."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from slipstream.settings import Options, add_options, process_environment

_DESCRIPTION = """\
Run a gateway alone.

It starts no inference servers: it uses those that the database says are running.
All other settings come from SLIPSTREAM_... variables.

    slipstream gateway --port 9080 --grpc-port 9081
"""


def main(arguments: Sequence[str]) -> None:
    """Become a gateway that listens by itself."""
    parser = argparse.ArgumentParser(
        "slipstream gateway",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_options(parser)
    given = parser.parse_args(arguments)
    options = Options(
        host=given.host, port=given.port, grpc_port=given.grpc_port, state=given.state.absolute()
    )
    command = [sys.executable, "-m", "gateway"]
    os.execve(sys.executable, command, process_environment(options))  # noqa: S606 - no shell
