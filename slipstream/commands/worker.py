"""`slipstream worker`: a worker, in place of this process."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from slipstream.settings import worker_environment

_DESCRIPTION = """\
Run a worker alone: it executes flows of type api, N at a time.

`slipstream up` starts one by itself; this is for further machines. They share the database
and the broker with the gateways, and every other setting comes from SLIPSTREAM_... variables,
too. At least one run at a time is kept for sync calls, so that long runs never block them.

    export SLIPSTREAM_DATABASE_URL=postgresql://slipstream@db.internal/slipstream
    export SLIPSTREAM_BROKER_URL=redis://broker.internal:6379/0
    slipstream worker --concurrency 8

    slipstream worker --queues async      # nothing that a caller waits for
    slipstream worker --state /var/lib/slipstream   # beside an `up --worker-concurrency 0` there
"""
_EPILOG = """\
The first SIGTERM or Ctrl-C takes no more runs and lets those that go on finish, for
SLIPSTREAM_DRAIN_SECONDS (10); what still runs then is handed back. A second one ends it at once.
"""


def main(arguments: Sequence[str]) -> None:
    """Become a worker."""
    parser = argparse.ArgumentParser(
        "slipstream worker",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--concurrency", default="2", metavar="N", help="runs at a time (2)")
    parser.add_argument("--queues", default="sync,async", help="sync, async or both (sync,async)")
    parser.add_argument(
        "--state",
        type=Path,
        metavar="DIR",
        help="state folder, where database or broker are in one (SLIPSTREAM_STATE, .slipstream)",
    )
    given = parser.parse_args(arguments)
    command = [sys.executable, "-m", "gateway.worker"]
    command += ["--concurrency", given.concurrency, "--queues", given.queues]
    os.execve(sys.executable, command, worker_environment(given.state))  # noqa: S606 - no shell
