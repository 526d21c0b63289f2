"""The memory of inference servers is measured when they become ready, and of all now and then."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from slipstream.supervisor import memory_use
from slipstream.supervisor.memory_use import MemoryUse
from tests.timing import TIMEOUT_SECONDS

MIB = 1 << 20
HOLD = """
x = bytearray(32 << 20)
print(flush=True)
input()
y = bytearray(96 << 20)
print(flush=True)
input()
"""


class Site:
    """Servers, their processes, and what was said of their memory."""

    def __init__(self) -> None:
        self.pids: dict[str, int] = {}
        self.found: dict[str, int] = {}
        self.changed = asyncio.Event()
        self.memory = MemoryUse(lambda: self.pids, self._on_change)

    async def until_found(self, *keys: str) -> None:
        """Wait until all of these were reported."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while not set(keys) <= self.found.keys():
                self.changed.clear()
                await self.changed.wait()

    def _on_change(self, key: str, memory_bytes: int) -> None:
        self.found[key] = memory_bytes
        self.changed.set()


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    """A process that uses more than 32 MiB, and 96 more after a line of input."""
    command = [sys.executable, "-c", HOLD]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:
        until_line(running)
        yield running
        running.kill()


def until_line(process: subprocess.Popen[bytes]) -> None:
    """Wait until the process has written a line."""
    assert process.stdout is not None
    process.stdout.readline()


async def test_servers_that_share_a_process_have_equal_parts_of_it(
    process: subprocess.Popen[bytes],
) -> None:
    site = Site()
    site.pids = {"first": process.pid, "second": process.pid}
    await site.memory.measure(site.pids)
    assert site.found["first"] == site.found["second"]
    assert 32 * MIB < sum(site.found.values()) < 96 * MIB
    del site.pids["first"]
    before = site.found.pop("second")
    await site.memory.measure(site.pids)
    assert site.found["second"] == pytest.approx(2 * before, rel=0.1)


async def test_only_a_server_that_becomes_ready_is_measured_at_once(
    process: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_use, "_SECONDS", 60.0)  # all are measured so often
    site = Site()
    site.pids = {"first": process.pid}
    running = asyncio.create_task(site.memory.run())
    await site.until_found("first")
    small = site.found.pop("first")
    assert process.stdin is not None
    process.stdin.write(b"\n")
    process.stdin.flush()
    await asyncio.to_thread(until_line, process)
    site.pids["second"] = process.pid
    site.memory.ready("second")
    await site.until_found("second")
    assert "first" not in site.found, "it has to wait until all are measured"
    assert 90 * MIB < site.found["second"] < 150 * MIB, "what the first leaves"
    site.memory.ready("first")  # by a successor
    await site.until_found("first")
    assert site.found["first"] == pytest.approx(small, rel=0.2), "what the second leaves"
    running.cancel()


async def test_a_process_that_ends_while_it_is_measured_uses_nothing() -> None:
    site = Site()
    site.pids = {"gone": os.getpid()}
    measuring = asyncio.create_task(site.memory.measure(["gone"]))
    await asyncio.sleep(0)
    site.pids = {}
    site.memory.forget("gone")
    await measuring
    assert site.found == {}


async def test_a_process_that_has_ended_uses_nothing(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    site = Site()
    site.pids = {"gone": process.pid}
    await site.memory.measure(site.pids)
    assert site.found == {}
