"""`slipstream gateway`: a gateway process, in place of this one."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from slipstream.failures import exit_on_error
from slipstream.settings import ServeOptions, add_options, process_environment
from slipstream.supervisor import ports

_DESCRIPTION = """\
Run a gateway alone.

It starts no inference servers: it uses those that the database says are running.
On another machine than theirs it reaches them by their TCP addresses, see docs/tls.md.
All other settings come from SLIPSTREAM_... variables.

    slipstream gateway --port 9080 --grpc-port 9081
    slipstream gateway --host 0.0.0.0 --tls-cert fullchain.pem --tls-key privkey.pem
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
    options = ServeOptions(
        host=given.host,
        port=given.port,
        grpc_port=given.grpc_port,
        grpc_server=given.grpc_server,
        state=given.state.absolute(),
        tls_certificate=given.tls_cert,
        tls_key=given.tls_key,
    )
    with exit_on_error(as_json=False):
        listener = ports.listen(options.host, options.port)
    os.set_inheritable(listener.fileno(), True)
    command = [sys.executable, "-m", "gateway", "--listen-fd", str(listener.fileno())]
    command += options.gateway_options
    os.execve(sys.executable, command, process_environment(options))  # noqa: S606 - no shell
