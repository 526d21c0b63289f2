"""Kill everything at random under load, then hold what is left against what was promised.

make chaos
make chaos ARGS="--minutes 1 --seed 7"
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

from rich.console import Console

from tests.chaos.aftermath import look, settle
from tests.chaos.audit import Audit
from tests.chaos.callers import Callers
from tests.chaos.ground import Ground
from tests.chaos.ledger import Ledger
from tests.chaos.report import report
from tests.chaos.striker import Striker
from tests.chaos.targets import deploy
from tests.chaos.verdict import LEASE_SECONDS, MOST_OVERDUE_SECONDS, checks
from tests.system.installation import Installation

CALLERS_EACH = 4

Tell = Callable[[str], None]


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 if every promise was kept, else 1."""
    options = _options(arguments)
    console = Console(highlight=False)
    began = time.monotonic()

    def tell(line: str) -> None:
        console.print(f"{time.monotonic() - began:7.1f} s  {line}", markup=False)

    tell(f"seed {options.seed}")
    with tempfile.TemporaryDirectory(prefix="slipstream-chaos-") as folder:
        ground = Ground(Path(folder))
        try:
            return asyncio.run(_play(ground, options, console, tell))
        finally:
            ground.stop()


async def _play(ground: Ground, options: argparse.Namespace, console: Console, tell: Tell) -> int:
    installation = Installation(ground.up)
    targets = deploy(installation, ground.counter.url)
    audit, ledger = Audit(ground.database_url), Ledger()
    await audit.install()
    audit.watch()
    callers = Callers(ground.url, installation.key, ledger, Random(options.seed))
    striker = Striker(ground, Random(options.seed), tell)
    kinds = {"sync": callers.sync, "async": callers.accepted, "fast": callers.fast}
    calling = [
        asyncio.create_task(kinds[mode](f"{mode} {kind}", deployment))
        for (mode, kind), deployment in targets.items()
        for _ in range(CALLERS_EACH)
    ]
    await striker.run(options.minutes * 60)
    tell("no more strikes; callers finish")
    await asyncio.sleep(2)
    callers.stopping.set()
    await asyncio.gather(*calling)
    # What was cut off in the last moment gets its lease, and the time to be made again.
    await settle(audit, 2 * (LEASE_SECONDS + MOST_OVERDUE_SECONDS), tell)
    after = await look(ground, installation.key, callers, audit, ledger)
    await audit.stop()
    await callers.close()
    found = checks(ledger, after)
    report(
        console,
        hits=striker.hits,
        revivals=striker.revivals,
        ledger=ledger,
        after=after,
        found=found,
    )
    return 0 if all(check.kept for check in found) else 1


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    description, _, examples = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        "python -m tests.chaos",
        description=description,
        epilog=examples + "\nexit status: 0 every promise was kept, 1 one was broken",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--minutes", type=float, default=3.0, help="of strikes (%(default)s)")
    parser.add_argument(
        "--seed", type=int, default=time.time_ns() % 100_000, help="of what is struck, and when"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
