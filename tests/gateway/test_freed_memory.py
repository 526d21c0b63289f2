"""Memory that large bodies have left behind, in a process of its own, and that of a gateway."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import weakref

import pytest

from gateway.settings import Settings
from gateway.storage.database import Database
from tests.gateway.in_process_gateway import InProcessGateway

CODE = """
import asyncio, json, random, sys
from gateway.freed_memory import resident_bytes, return_memory_when_steady
from telemetry.allocator import keep_freed_memory

def fill():
    blocks = [(bytes(random.randrange(20_000, 300_000)), bytes(600)) for _ in range(1_500)]
    return [small for _, small in blocks]  # what stays lies between what is freed

async def main(large_bodies):
    keep_freed_memory()
    returning = asyncio.create_task(return_memory_when_steady(0.1))
    filled = 0
    for number in range(16 if large_bodies == "come" else 100):
        body = bytes(number * 5 * 2**20) if large_bodies == "come" else b""
        await asyncio.sleep(0.1)
        if number == 3:
            kept, filled = fill(), resident_bytes()
        if resident_bytes() < filled * 2 // 3:
            break
    print(json.dumps([filled, resident_bytes()]))
    returning.cancel()

asyncio.run(main(sys.argv[1]))
"""


@pytest.mark.processes
@pytest.mark.parametrize("large_bodies", ["come", "came"])
def test_memory_is_returned_when_no_more_large_bodies_come(large_bodies: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE, large_bodies], capture_output=True, text=True, check=True
    )
    filled, left = json.loads(done.stdout)
    assert (filled - left > filled / 3) == (large_bodies == "came"), (filled, left)


async def test_a_closed_gateway_is_freed(database: Database, settings: Settings) -> None:
    gateway = InProcessGateway(settings)
    user = await gateway.user()
    assert (await user.get("/metrics")).status_code == 200
    await user.aclose()
    await gateway.close()
    container = weakref.ref(gateway._container)
    del gateway, user
    gc.collect()
    assert container() is None, "FastAPI keeps routes that it has seen, and what they refer to"
