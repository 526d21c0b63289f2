"""Lines of the log that a process reports to its parent."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from gateway.auth.keys import generate_key
from tests.timing import TIMEOUT_SECONDS

pytestmark = pytest.mark.processes

_PROGRAM = """
import logging, sys
from telemetry import logs
from telemetry.parent_process import StatusPipe
pipe = StatusPipe(int(sys.argv[1]))
logs.configure("info", process="tests")
logs.forward(pipe.forward_log, without={"ready"})
log = logs.logger("tests")
log.info("threads_planned", threads=2, key=sys.argv[2])
log.info("ready")
log.debug("too_detailed")
logging.getLogger("library").warning("of a library: %s", 1)
try:
    1 / 0
except ZeroDivisionError:
    log.exception("failed")
log.info("long", text="\\0" * 10_000)
"""


def test_lines_are_reported_with_level_and_time_and_without_keys() -> None:
    key = generate_key()
    read_fd, write_fd = os.pipe()
    with os.fdopen(read_fd) as lines:
        subprocess.run(
            [sys.executable, "-c", _PROGRAM, str(write_fd), key],
            check=True,
            pass_fds=[write_fd],
            stderr=subprocess.DEVNULL,
        )
        os.close(write_fd)
        reported = [json.loads(line) for line in lines]
    assert {line["event"] for line in reported} == {"log"}
    assert all(line["at"] > 0 for line in reported)
    first, library, *traceback, long = [(line["level"], line["text"]) for line in reported]
    assert first[0] == "info"
    assert first[1].startswith("threads_planned threads=2 key=sk-")
    assert key not in first[1]
    assert library == ("warning", "of a library: 1")
    assert traceback[0] == ("error", "failed")
    assert traceback[-1] == ("error", "ZeroDivisionError: division by zero")
    assert len(long[1]) == 600


def test_a_full_pipe_blocks_nothing() -> None:
    read_fd, write_fd = os.pipe()
    program = _PROGRAM + 'for _ in range(10_000):\n    log.info("one more line")\n'
    subprocess.run(
        [sys.executable, "-c", program, str(write_fd), "none"],
        check=True,
        pass_fds=[write_fd],
        stderr=subprocess.DEVNULL,
        timeout=TIMEOUT_SECONDS,
    )
    for descriptor in (read_fd, write_fd):
        os.close(descriptor)
