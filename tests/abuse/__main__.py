"""Misbehave in every way we know, and see what a well-behaved client and the memory say.

make abuse
make abuse ARGS="--minutes 1 --only JSON"
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import psutil
from rich.console import Console

from tests.abuse.abusers import Abusers, Outcomes
from tests.abuse.good_client import Figures, GoodClient
from tests.abuse.report import Memory, Result, report
from tests.abuse.target import GoodUser, Target, attacked, good_user
from tests.slipstream.running import Up
from tests.system.installation import Installation

QUIET_SECONDS = 20.0
WARM_UP_SECONDS = 25.0
"""Of abuse before anything is measured: caches, pools and allocators grow to their working size."""
SETTLE_SECONDS = 90.0
MAX_GROWTH = 1.1

PrintStatus = Callable[[str], None]


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 if every bar was met, else 1."""
    options = _options(arguments)
    console = Console(highlight=False)
    began = time.monotonic()

    def print_status(line: str) -> None:
        console.print(f"{time.monotonic() - began:7.1f} s  {line}", markup=False)

    with tempfile.TemporaryDirectory(prefix="slipstream-abuse-") as folder:
        up = Up(Path(folder) / "state")
        try:
            up.until("documentation")
            # Outside of the event loop: the command line runs one of its own.
            installation = Installation(up)
            good = good_user(installation)
            target = attacked(installation, Path(folder))
            result = asyncio.run(_run(up, good, target, options, print_status))
            met = report(console, result)
            installation.stop()
        finally:
            up.process.kill()
    return 0 if met else 1


async def _run(
    up: Up,
    good: GoodUser,
    target: Target,
    options: argparse.Namespace,
    print_status: PrintStatus,
) -> Result:
    client = GoodClient(good)
    at_first = _memory(up)
    print_status(f"a warm-up of {WARM_UP_SECONDS:g} s, not measured")
    await _abused(client, Abusers(target, WARM_UP_SECONDS, options.only))
    await client.measure(QUIET_SECONDS)
    print_status(f"the well-behaved client alone for {QUIET_SECONDS:g} s")
    quiet = await client.measure(QUIET_SECONDS)
    processes, before = _gateways(up), _memory(up)
    print_status(f"abuse for {options.minutes:g} minutes")
    abused, outcomes = await _abused(client, Abusers(target, options.minutes * 60, options.only))
    peak = _memory(up)
    print_status("no more abuse; memory settles")
    after = await _settled(client, up, before)
    await client.close()
    return Result(
        quiet=quiet,
        abused=abused,
        outcomes=outcomes,
        memory_at_first=at_first,
        memory_before=before,
        memory_at_the_end=peak,
        memory_after=after,
        gateways_ended=len(processes - _gateways(up)),
    )


async def _abused(client: GoodClient, abusers: Abusers) -> tuple[Figures, Outcomes]:
    await asyncio.to_thread(abusers.start)
    figures = await client.measure(abusers.seconds)
    return figures, await asyncio.to_thread(abusers.outcomes)


async def _settled(client: GoodClient, up: Up, before: Memory) -> Memory:
    """Return the memory once it is within its bar, or after a time."""
    end = time.monotonic() + SETTLE_SECONDS
    while True:
        await client.measure(5)
        memory = _memory(up)
        if memory.total() <= before.total() * MAX_GROWTH or time.monotonic() > end:
            return memory


def _gateways(up: Up) -> set[int]:
    return {process.pid for process in up.gateways()}


def _memory(up: Up) -> Memory:
    """Return the proportional set size of all processes, in bytes, by what they are."""
    memory: Memory = Counter()
    for process in [psutil.Process(up.process.pid), *up.children()]:
        with suppress(psutil.NoSuchProcess):
            memory[_kind(process.cmdline())] += process.memory_full_info().pss
    return memory


def _kind(words: Sequence[str]) -> str:
    """Return the module that a process runs, with its name, if it has one."""
    module = words[words.index("-m") + 1] if "-m" in words else " ".join(words[1:3])
    return f"{module} {words[words.index('--name') + 1]}" if "--name" in words else module


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    description, _, examples = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        "python -m tests.abuse",
        description=description,
        epilog=examples + "\nexit status: 0 every bar was met, 1 one was not",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--minutes", type=float, default=3.0, help="of abuse (%(default)s)")
    parser.add_argument("--only", default="", help="the kinds of abuse whose names contain this")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
