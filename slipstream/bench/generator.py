"""The process that makes the load: plan on stdin, progress and result on stdout, a line each.

A process of its own, because drawing the progress takes milliseconds that would be measured, too.
It imports little, and hardly looks for garbage. When its stdin ends, so does the load.
"""

from __future__ import annotations

import asyncio
import gc
import resource
import sys

import orjson
import uvloop

from slipstream.bench.load import Load
from slipstream.bench.plan import Plan

_THRESHOLD = 50_000
"""New objects between two looks for cycles: seldom enough not to be seen in the latencies."""


def main() -> None:
    """Carry out one plan."""
    plan = Plan.from_line(sys.stdin.buffer.readline())
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    gc.freeze()
    gc.set_threshold(_THRESHOLD)
    try:
        uvloop.run(_run(plan))
    except BrokenPipeError:
        sys.exit(1)  # nobody is there to hear of it


async def _run(plan: Plan) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(sys.stdin.fileno(), stop.set)
    result = await Load(plan).run(stop, lambda progress: _say(progress=progress))
    loop.remove_reader(sys.stdin.fileno())
    _say(result=result)


def _say(**message: object) -> None:
    sys.stdout.buffer.write(orjson.dumps(message) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
