from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.timing import Timer, pause

BUSY = """
import os, sys
os.sched_setaffinity(0, {int(sys.argv[1])})
print("busy", flush=True)
while True:
    pass
"""


@pytest.fixture
def crowded() -> Iterator[None]:
    """Three processes that want one core: two of them always wait for it."""
    core = str(min(os.sched_getaffinity(0)))
    command = [sys.executable, "-c", BUSY, core]
    made = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(3)]
    for process in made:
        assert process.stdout is not None
        process.stdout.readline()
    yield
    for process in made:
        process.kill()
        process.communicate()


def test_what_does_not_wait_for_a_core_is_as_long_as_the_clock_says() -> None:
    timer = Timer()
    time.sleep(0.5)
    assert 0.2 < timer.seconds <= timer.elapsed


@pytest.mark.processes
@pytest.mark.usefixtures("crowded")
def test_what_waits_for_a_core_is_given_as_much_time_but_not_endlessly() -> None:
    timer = Timer()
    time.sleep(0.5)
    assert 0.05 <= timer.seconds < 0.2
    assert timer.elapsed >= 0.5


@pytest.mark.processes
@pytest.mark.usefixtures("crowded")
def test_a_pause_is_longer_where_others_wait_for_a_core() -> None:
    timer = Timer()
    pause(0.1)
    assert timer.elapsed > 0.2
