"""Send events to failing receivers, kill the dispatcher repeatedly, and check all guarantees.

make torture
make torture ARGS="--events 100000 --kills 20 --fail 0.3 --database sqlite"
make torture ARGS="--events 20000 --database postgresql://postgres@127.0.0.1:5432/an_empty_one"
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from tests.torture.checks import checks
from tests.torture.latency import measure
from tests.torture.processes import ReceiverProcess
from tests.torture.report import report
from tests.torture.torture_run import PrintStatus, TorturePlan, TortureRun, prepare


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 if every promise was kept, else 1."""
    options = _options(arguments)
    console = Console(highlight=False)
    began = time.monotonic()

    def print_status(line: str) -> None:
        console.print(f"{time.monotonic() - began:7.1f} s  {line}", markup=False)

    print_status(f"seed {options.seed}")
    with tempfile.TemporaryDirectory(prefix="slipstream-torture-") as folder:
        receiver = ReceiverProcess(Path(folder), options.fail)
        try:
            return asyncio.run(_run(Path(folder), receiver, options, console, print_status))
        finally:
            receiver.close()


async def _run(
    folder: Path,
    receiver: ReceiverProcess,
    options: argparse.Namespace,
    console: Console,
    print_status: PrintStatus,
) -> int:
    in_folder = f"sqlite:///{folder}/slipstream.db"
    url = in_folder if options.database == "sqlite" else options.database
    settings = await prepare(folder, url)
    delays = None
    if options.delays:
        (folder / "delays").mkdir()
        delays = await measure(settings, folder / "delays", options.delays, print_status)
    plan = TorturePlan(
        events=options.events, kills=options.kills, fail=options.fail, seed=options.seed
    )
    outcome = await TortureRun(plan, settings, receiver, print_status).run()
    found = checks(outcome)
    report(console, outcome, delays, found)
    return 0 if all(check.kept for check in found) else 1


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    description, _, examples = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        "python -m tests.torture",
        description=description,
        epilog=examples + "\nexit status: 0 every promise was kept, 1 one was broken",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--events", type=int, default=10_000, help="number of events (%(default)s)")
    parser.add_argument("--kills", type=int, default=20, help="of the dispatcher (%(default)s)")
    parser.add_argument(
        "--fail", type=float, default=0.3, help="share of messages that fail (%(default)s)"
    )
    parser.add_argument(
        "--database", default="sqlite", help="sqlite, or the URL of an empty database (%(default)s)"
    )
    parser.add_argument(
        "--delays",
        type=float,
        default=0.0,
        help="first measure for six times this many seconds how dead receivers delay others",
    )
    parser.add_argument(
        "--seed", type=int, default=time.time_ns() % 100_000, help="seed of the times of the kills"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
