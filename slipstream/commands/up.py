"""`slipstream up`: everything, on this machine."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from slipstream.failures import exit_on_error
from slipstream.settings import PREFIX, UpOptions
from slipstream.supervisor.handover import Handover
from slipstream.supervisor.launch import check_options, launch
from telemetry.open_files import raise_open_file_limit
from telemetry.options import read

_DESCRIPTION = """\
Run everything on this machine: gateway, worker and inference servers.

REST listens at once and answers 503 until everything is ready. On the first start
it creates an administrator and a demo: a model, a flow, a deployment, an API key, and prints
a curl line to try them. Ctrl-C or SIGTERM drains and stops; a second one stops at once. Where other
machines reach it, the ports stay open for 5 s before that, in which load balancers learn of it by
/readyz; a second one ends that wait. SIGHUP reloads, see `slipstream reload`.

    slipstream up
    slipstream up --port 9080 --grpc-port 9081 --state /tmp/second --no-demo
    slipstream up --host 0.0.0.0 --tls-cert fullchain.pem --tls-key privkey.pem
"""
_EPILOG = """\
exit status: 0 after a requested stop, 1 after an internal error, 2 for an invalid command line,
3 if it cannot run here: a port in use, a state folder, a database or a certificate that cannot
be used
"""


def main(arguments: Sequence[str]) -> None:
    """Start, watch and drain the processes of one machine."""
    started_at = time.monotonic()
    options = read(
        UpOptions,
        arguments,
        prefix=PREFIX,
        program="slipstream up",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    raise_open_file_limit()
    with exit_on_error(as_json=options.json):
        if options.check:
            _check(options)
            return
        launched = launch(options, Handover.receive())
        # Slow imports come after the gateways have been started.
        from slipstream.status_printer import StatusPrinter  # noqa: PLC0415

        printer = StatusPrinter(as_json=options.json, started_at=started_at)
        printer.step(
            "slipstream", f"listens at {options.url} (REST) and on port {options.grpc_port} (gRPC)"
        )
        printer.step("slipstream", f"keeps its state in {options.state}")

        from slipstream.supervisor.supervisor import supervise  # noqa: PLC0415

        supervise(launched, printer, demo=not options.no_demo)


def _check(options: UpOptions) -> None:
    """Print that nothing is wrong, or raise what is."""
    check_options(options)
    from slipstream.supervisor.fleet_runner import check_settings  # noqa: PLC0415 - slow
    from slipstream.supervisor.reloader import check_report  # noqa: PLC0415

    check_settings(options)
    sys.stdout.write(check_report(options) + "\n")
