"""`slipstream gateway`: replaces this process by a gateway."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from slipstream.failures import exit_on_error
from slipstream.settings import PREFIX, ServeOptions, check_exposure, process_environment
from slipstream.supervisor import ports
from slipstream.supervisor.running_supervisor import running_supervisor
from telemetry.options import read

_DESCRIPTION = """\
Run a gateway alone.

It starts no inference servers: it uses those that run according to the database.
On another machine it reaches them by their TCP addresses, see docs/tls.md.
All other settings come from SLIPSTREAM_... variables.

    slipstream gateway --port 9080 --grpc-port 9081
    slipstream gateway --host 0.0.0.0 --tls-cert fullchain.pem --tls-key privkey.pem
"""


def main(arguments: Sequence[str]) -> None:
    """Listen, and become a gateway."""
    options = read(
        ServeOptions,
        arguments,
        prefix=PREFIX,
        program="slipstream gateway",
        description=_DESCRIPTION,
    )
    with exit_on_error(as_json=False):
        check_exposure(options)
        installation = _variables_of_running(options.state)
        rest = ports.listen(options.host, options.port)
        grpc = ports.open_grpc_port(options)
    for listener in (rest, grpc):
        os.set_inheritable(listener.fileno(), True)
    command = [sys.executable, "-m", "gateway", *ports.listen_options(options, rest, grpc)]
    command += options.gateway_options
    os.execve(sys.executable, command, process_environment(options, installation))


def _variables_of_running(state: Path) -> Mapping[str, str] | None:
    """Return the shared variables of what `up` runs on the folder; None: nothing runs."""
    if running_supervisor(state) is None:
        return None
    # It takes a second to import.
    from slipstream.installation import find_installation  # noqa: PLC0415

    installation = find_installation(state)
    installation.check()
    for note in installation.notes():
        sys.stderr.write(f"slipstream: {note}\n")
    return installation.variables
