"""Installs a package with nodes for a test, with the files that pip would write."""

from __future__ import annotations

from pathlib import Path

import pytest

SOURCE = """
import time

time.sleep(float(__import__("os").environ.get("SLOW_IMPORT", "0")))
import asyncio
import logging
import os
import random
import signal
import subprocess
import sys
import uuid

log = logging.getLogger("flow_nodes")
calls = 0
loops = []


def shout(inputs):
    global calls
    calls += 1
    return {"text": inputs["text"].upper(), "calls": calls, "process": os.getpid()}


async def whisper(inputs):
    await asyncio.sleep(0)
    loops.append(asyncio.get_running_loop())
    assert loops[0] is loops[-1]
    return inputs["text"].lower()


class Greeter:
    async def __call__(self, inputs):
        return sorted(inputs)


greeter = Greeter()


def fail(inputs):
    raise ValueError("bad " + inputs["text"])


class Busy(Exception):
    retryable = True


def busy(inputs):
    with open(inputs["file"], "a") as file:
        file.write("called ")
    raise Busy("later")


def hang(inputs):
    if "file" in inputs:
        with open(inputs["file"], "w") as file:
            file.write(str(os.getpid()))
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM, signal.SIGTERM})
    while True:
        pass


def spawn(inputs):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    with open(inputs["file"], "w") as file:
        file.write(str(child.pid))
    time.sleep(600)


async def hang_async(inputs):
    while True:
        time.sleep(1)


def leave(inputs):
    sys.exit(inputs["status"])


def die(inputs):
    os._exit(3)


def draw(inputs):
    return [random.random(), str(uuid.uuid4()), os.getpid()]


def hoard(inputs):
    return len([bytes(1 << 20) for _ in range(inputs["mebibytes"])])


def repeat(inputs):
    return inputs["text"] * inputs["times"]


def no_number(inputs):
    return [float("nan"), 1.0]


def no_json(inputs):
    return object()


def environment(inputs):
    return os.environ[inputs["name"]]


def write(inputs):
    log.info("hello from %s", inputs["text"])
    print(inputs["text"])


number = 7
"""

ENTRY_POINTS = """
[slipstream.nodes]
shout = flow_nodes:shout
whisper = flow_nodes:whisper
greet = flow_nodes:greeter
fail = flow_nodes:fail
busy = flow_nodes:busy
hang = flow_nodes:hang
spawn = flow_nodes:spawn
hang_async = flow_nodes:hang_async
leave = flow_nodes:leave
die = flow_nodes:die
draw = flow_nodes:draw
hoard = flow_nodes:hoard
repeat = flow_nodes:repeat
no_number = flow_nodes:no_number
no_json = flow_nodes:no_json
environment = flow_nodes:environment
write = flow_nodes:write
number = flow_nodes:number
broken = flow_nodes_that_are_not_there:f
"""


def install_nodes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install the package `flow_nodes` in `folder` for the duration of the test."""
    write_nodes(folder)
    monkeypatch.syspath_prepend(folder)


def write_nodes(folder: Path) -> None:
    """Write the package's files, and those that pip would write."""
    (folder / "flow_nodes.py").write_text(SOURCE)
    information = folder / "flow_nodes-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: flow-nodes\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(ENTRY_POINTS)
