"""A child process: its ties to its parent, and its end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from slipstream.supervisor.process import ChildProcess, Lifeline, describe_exit, exit_fields
from tests.slipstream.programs import IGNORES_SIGTERM, STEADY, program
from tests.timing import TIMEOUT_SECONDS


def read_line(child: ChildProcess) -> bytes:
    with os.fdopen(child.status_fd, "rb") as pipe:
        return pipe.readline()


def test_a_child_reports_on_its_status_pipe_and_ends_when_asked() -> None:
    child = ChildProcess.spawn(STEADY, lifeline=Lifeline())
    assert read_line(child) == b'{"event": "ready"}\n'
    child.terminate()
    assert describe_exit(child.wait()) == "was killed by SIGTERM"


def test_a_child_that_ignores_sigterm_can_be_killed() -> None:
    child = ChildProcess.spawn(IGNORES_SIGTERM, lifeline=Lifeline())
    read_line(child)
    child.terminate()
    child.kill()
    assert describe_exit(child.wait()) == "was killed by SIGKILL"
    child.kill()
    child.terminate()


def test_a_signal_without_a_name_has_its_number() -> None:
    assert describe_exit(-40) == "was killed by signal 40"
    assert exit_fields(-40) == {"signal": "signal 40"}


def test_a_child_ends_when_the_lifeline_closes() -> None:
    lifeline = Lifeline()
    child = ChildProcess.spawn(IGNORES_SIGTERM, lifeline=lifeline)
    read_line(child)
    lifeline.close()
    assert describe_exit(child.wait()) == "exited with status 70"


def test_a_child_ends_when_its_parent_is_killed() -> None:
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import signal; from slipstream.supervisor.process import *; "
            "from tests.slipstream.programs import IGNORES_SIGTERM; "
            "child = ChildProcess.spawn(IGNORES_SIGTERM, lifeline=Lifeline()); "
            "os.read(child.status_fd, 1); "
            "print(child.pid, flush=True); signal.pause()",
        ],
        stdout=subprocess.PIPE,
    )
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    parent.stdout.close()
    child.wait(timeout=TIMEOUT_SECONDS)


@pytest.mark.long
def test_the_children_of_a_child_end_with_it() -> None:
    leaving = "import subprocess\nsay(pid=subprocess.Popen(['sleep', '600']).pid)"
    child = ChildProcess.spawn(program(leaving), lifeline=Lifeline())
    left = psutil.Process(int(read_line(child).split(b":")[1].strip(b" }\n")))
    assert child.wait() == 0
    left.wait(timeout=TIMEOUT_SECONDS)


def test_stdout_of_a_child_goes_to_our_stderr() -> None:
    code = (
        "from slipstream.supervisor.process import *; "
        "from tests.slipstream.programs import program; "
        "ChildProcess.spawn(program('print(1)'), lifeline=Lifeline()).wait()"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert result.stdout == b""
    assert result.stderr == b"1\n"


def test_a_program_that_cannot_be_started_leaves_no_descriptors() -> None:
    lifeline = Lifeline()
    before = set(Path("/proc/self/fd").iterdir())
    with pytest.raises(FileNotFoundError):
        ChildProcess.spawn(["/nowhere/at-all"], lifeline=lifeline)
    assert set(Path("/proc/self/fd").iterdir()) == before
