"""Installs a package with nodes for a test, with the files that pip would write."""

from __future__ import annotations

from pathlib import Path

import pytest

SOURCE = """
import asyncio
import threading

started = threading.Event()
release = threading.Event()


def shout(inputs):
    return {"text": inputs["text"].upper(), "thread": threading.current_thread().name}


async def whisper(inputs):
    await asyncio.sleep(0)
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
    inputs["calls"].append(1)
    raise Busy("later")


def hang(inputs):
    started.set()
    release.wait(30)


number = 7
"""

ENTRY_POINTS = """
[slipstream.nodes]
shout = flow_nodes:shout
whisper = flow_nodes:whisper
greet = flow_nodes:greeter
fail = flow_nodes:fail
hang = flow_nodes:hang
busy = flow_nodes:busy
number = flow_nodes:number
broken = flow_nodes_that_are_not_there:f
"""


def install_nodes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install the package `flow_nodes` in `folder` for the duration of the test."""
    (folder / "flow_nodes.py").write_text(SOURCE)
    information = folder / "flow_nodes-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: flow-nodes\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.syspath_prepend(folder)
