"""Kill, stop and overload what there is, at random and under load, then check all guarantees.

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

from tests.chaos.audit import Audit
from tests.chaos.call_log import CallLog
from tests.chaos.callers import Callers
from tests.chaos.checks import LEASE_SECONDS, MAX_OVERDUE_SECONDS, checks
from tests.chaos.environment import ChaosEnvironment, small_disk
from tests.chaos.fault_injector import FaultInjector
from tests.chaos.faults import faults
from tests.chaos.final_state import collect_final_state, settle
from tests.chaos.report import report
from tests.chaos.targets import Hostile, deploy, deploy_hostile
from tests.system.installation import Installation

CALLERS_EACH = 4

PrintStatus = Callable[[str], None]


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 if every promise was kept, else 1."""
    options = _options(arguments)
    console = Console(highlight=False)
    began = time.monotonic()

    def print_status(line: str) -> None:
        console.print(f"{time.monotonic() - began:7.1f} s  {line}", markup=False)

    print_status(f"seed {options.seed}")
    with (
        tempfile.TemporaryDirectory(prefix="slipstream-chaos-") as folder,
        small_disk(Path(folder)) as disk,
    ):
        environment = ChaosEnvironment(Path(folder), disk)
        try:
            # Outside of the event loop: the command line runs one of its own.
            installation = Installation(environment.up)
            hostile = deploy_hostile(installation, Path(folder))
            return asyncio.run(
                _run(
                    environment,
                    installation,
                    hostile,
                    options=options,
                    console=console,
                    print_status=print_status,
                )
            )
        finally:
            environment.stop()


async def _run(
    environment: ChaosEnvironment,
    installation: Installation,
    hostile: Hostile,
    *,
    options: argparse.Namespace,
    console: Console,
    print_status: PrintStatus,
) -> int:
    targets = deploy(installation, environment.counter.url, environment.receiver.url("runs"))
    with_webhooks = {one for (mode, _), one in targets.items() if mode != "fast"}
    audit, call_log = Audit(environment.database_url), CallLog(environment.outages)
    await audit.install()
    audit.watch()
    callers = Callers(environment.url, installation.key, call_log, Random(options.seed))
    fault_injector = FaultInjector(
        environment, faults(hostile, options.only), Random(options.seed), print_status
    )
    kinds = {"sync": callers.sync, "async": callers.accepted, "fast": callers.fast}
    calling = [
        asyncio.create_task(kinds[mode](f"{mode} {kind}", deployment))
        for (mode, kind), deployment in targets.items()
        for _ in range(CALLERS_EACH)
    ]
    await fault_injector.run(options.minutes * 60)
    print_status("no more faults; callers finish")
    await asyncio.sleep(2)
    callers.stopping.set()
    call_log.until = time.monotonic()
    await asyncio.gather(*calling)
    # Runs interrupted at the end need time for their lease to expire and for a retry.
    await settle(audit.unfinished, 2 * (LEASE_SECONDS + MAX_OVERDUE_SECONDS), print_status)
    after = await collect_final_state(
        environment,
        installation.key,
        callers,
        audit,
        call_log,
        hostile=hostile,
        with_webhooks=with_webhooks,
    )
    await audit.stop()
    await callers.close()
    found = checks(call_log, after)
    report(
        console,
        hits=fault_injector.hits,
        restarts=fault_injector.restarts,
        call_log=call_log,
        after=after,
        found=found,
    )
    if all(check.kept for check in found):
        return 0
    log = Path(tempfile.gettempdir()) / f"slipstream-chaos-{options.seed}.log"
    log.write_text(environment.log())
    print_status(f"{log} has what the processes logged")
    return 1


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    description, _, examples = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        "python -m tests.chaos",
        description=description,
        epilog=examples + "\nexit status: 0 every promise was kept, 1 one was broken",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--minutes", type=float, default=3.0, help="of faults (%(default)s)")
    parser.add_argument(
        "--seed", type=int, default=time.time_ns() % 100_000, help="of the random faults"
    )
    parser.add_argument("--only", default="", help="the faults whose names contain this")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
