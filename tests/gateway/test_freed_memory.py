"""Memory that large bodies have left behind, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

CODE = """
import asyncio, json, random, sys
from pathlib import Path
from gateway.freed_memory import _resident_bytes, return_memory_when_quiet
from telemetry.allocator import keep_freed_memory

def fill():
    blocks = [(bytes(random.randrange(20_000, 300_000)), bytes(600)) for _ in range(1_500)]
    return [small for _, small in blocks]  # what stays lies between what is freed

async def main(reads):
    keep_freed_memory()
    returning = asyncio.create_task(return_memory_when_quiet(0.1))
    await asyncio.sleep(0)
    buffer = bytearray(reads)
    kept, filled = fill(), _resident_bytes()
    with Path("/dev/zero").open("rb", buffering=0) as zeros:
        for _ in range(10 if reads else 100):
            if _resident_bytes() < filled * 2 // 3:
                break
            zeros.readinto(buffer)
            await asyncio.sleep(0.05)
    print(json.dumps([filled, _resident_bytes()]))
    returning.cancel()

asyncio.run(main(int(sys.argv[1])))
"""


@pytest.mark.processes
@pytest.mark.parametrize("is_quiet", [False, True])
def test_memory_is_returned_when_no_large_bodies_come(is_quiet: bool) -> None:
    reads = 0 if is_quiet else 64 * 2**20
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(reads)], capture_output=True, text=True, check=True
    )
    filled, left = json.loads(done.stdout)
    assert (filled - left > filled / 3) == is_quiet, (filled, left)
