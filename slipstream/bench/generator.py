"""The load generator's process: a plan on stdin; progress and the result on stdout, a line each.

It is a process of its own because drawing progress takes milliseconds that would be measured too.
It imports little and rarely collects garbage. It stops when its stdin is closed.
"""

from __future__ import annotations

import asyncio
import sys

import orjson
import uvloop

from slipstream.bench.load import create_load
from slipstream.bench.plan import LoadPlan
from telemetry import garbage_collection
from telemetry.open_files import raise_open_file_limit

_GC_THRESHOLD = 50_000
"""New objects between two collections: rare enough not to show in the latencies."""


def main() -> None:
    """Carry out one plan."""
    plan = LoadPlan.from_line(sys.stdin.buffer.readline())
    raise_open_file_limit()
    garbage_collection.resume(_GC_THRESHOLD)
    try:
        uvloop.run(_run(plan))
    except BrokenPipeError:
        sys.exit(1)  # the parent process has ended


async def _run(plan: LoadPlan) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(sys.stdin.fileno(), stop.set)
    result = await create_load(plan).run(stop, lambda progress: _write(progress=progress))
    loop.remove_reader(sys.stdin.fileno())
    _write(result=result)


def _write(**message: object) -> None:
    sys.stdout.buffer.write(orjson.dumps(message) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
