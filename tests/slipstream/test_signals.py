"""SIGHUP: a reload, or the end where the terminal is closed."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys

from tests.timing import TIMEOUT_SECONDS

_PROGRAM = """
import asyncio, sys
from slipstream.supervisor.signals import StopSignals

async def main():
    signals = StopSignals(reloads=True)
    signals.install()
    stop = asyncio.Event()
    signals.attach(asyncio.get_running_loop(), drain=stop, kill=asyncio.Event())
    print("attached", file=sys.stderr, flush=True)
    while not stop.is_set():
        waits = {asyncio.ensure_future(each.wait()) for each in (signals.reload, stop)}
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        if signals.reload.is_set():
            signals.reload.clear()
            print("reload", file=sys.stderr, flush=True)
    print("stop", file=sys.stderr, flush=True)

asyncio.run(main())
"""
_REPLACED = """
import asyncio, os, signal, sys, threading
from slipstream.supervisor.signals import StopSignals

async def main():
    signals = StopSignals(reloads=True)
    signals.install()
    signals.attach(asyncio.get_running_loop(), drain=asyncio.Event(), kill=asyncio.Event())
    threading.Thread(target=threading.Event().wait, daemon=True).start()  # it takes signals, too
    await asyncio.sleep(0)
    signals.hold()
    os.kill(os.getpid(), signal.SIGTERM)
    program = "from slipstream.supervisor.signals import StopSignals as S; s = S(); s.install(); "
    command = [sys.executable, "-c", program + "print(s.count)"]
    os.execve(command[0], command, {**os.environ, **signals.passed_on()})

asyncio.run(main())
"""
_IN_TERMINAL = """
import os, signal, sys
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run under nohup
os.setsid()
os.close(os.open(os.ttyname(0), os.O_RDWR))
"""


def start(*, terminal: bool) -> tuple[subprocess.Popen[str], int]:
    """Start the program; return it and the master side of its terminal, or -1."""
    if not terminal:
        command = [sys.executable, "-c", _PROGRAM]
        return subprocess.Popen(
            command, stderr=subprocess.PIPE, text=True, start_new_session=True
        ), -1
    master, slave = pty.openpty()
    # A session leader that opens a terminal makes it its controlling terminal.
    command = [sys.executable, "-c", f"{_IN_TERMINAL}exec({_PROGRAM!r})"]
    with os.fdopen(slave) as stdin:
        process = subprocess.Popen(command, stdin=stdin, stderr=subprocess.PIPE, text=True)
    return process, master


def line(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    return process.stderr.readline().strip()


def end(process: subprocess.Popen[str]) -> None:
    assert process.wait(TIMEOUT_SECONDS) == 0
    assert process.stderr is not None
    process.stderr.close()


def test_sighup_reloads_and_sigterm_stops() -> None:
    process, _ = start(terminal=False)
    assert line(process) == "attached"
    for _ in range(2):
        process.send_signal(signal.SIGHUP)
        assert line(process) == "reload"
    process.send_signal(signal.SIGTERM)
    assert line(process) == "stop"
    end(process)


def test_a_signal_that_comes_while_the_program_is_replaced_is_not_lost() -> None:
    command = [sys.executable, "-c", _REPLACED]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("1\n", "")


def test_sighup_of_a_closed_terminal_stops() -> None:
    process, master = start(terminal=True)
    assert line(process) == "attached"
    process.send_signal(signal.SIGHUP)
    assert line(process) == "reload"
    os.close(master)  # the kernel sends SIGHUP to the session's leader
    assert line(process) == "stop"
    end(process)
