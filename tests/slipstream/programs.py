"""Small real programs for the supervisor to look after."""

from __future__ import annotations

import sys

_HEAD = """
import argparse, json, os, signal, sys, threading, time
parser = argparse.ArgumentParser()
parser.add_argument("--status-fd", type=int)
parser.add_argument("--lifeline-fd", type=int)
options = parser.parse_args()
def say(**line): os.write(options.status_fd, json.dumps(line).encode() + b"\\n")
def watch():
    os.read(options.lifeline_fd, 1)
    os._exit(70)
threading.Thread(target=watch, daemon=True).start()
"""


def program(body: str) -> list[str]:
    """Return the command of a program that has `say(event=…)` and dies with its lifeline."""
    return [sys.executable, "-c", _HEAD + body]


STEADY = program("say(event='ready')\nsignal.pause()")
"""Gets ready, and ends with the first signal."""
IGNORES_SIGTERM = program(
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nsay(event='ready')\ntime.sleep(600)"
)
"""Gets ready, and ignores SIGTERM."""
CRASHES = program("say(event='loading')\nsys.exit(3)")
"""Exits with status 3 by itself."""
EXITS_IDLE = program("say(event='ready')\nsys.exit(4)")
"""Gets ready, and exits with the status of an idle server."""
FAILS = program("say(event='failed', message='no such operator')\nsignal.pause()")
"""Reports that it has failed, and stays."""
HALF_LINE = program("os.write(options.status_fd, b'{\"event\": ')\nsys.exit(0)")
"""Exits in the middle of a line."""
STOPS_ITSELF = program(
    "say(event='ready')\nsay(event='heartbeat')\nos.kill(os.getpid(), signal.SIGSTOP)"
)
"""Sends one heartbeat, then stops as by SIGSTOP."""
BEATS = program("say(event='ready')\nwhile True: say(event='heartbeat'); time.sleep(0.05)")
"""Gets ready, and sends heartbeats."""
SAYS_WHY_IT_ENDS = program("say(event='stuck', message='a run went on')\nsys.exit(5)")
"""Reports why it is about to end itself."""
_BEATS = (
    "while True:\n"
    "    say(event='heartbeat', busy={{'async': 0}}, runs={runs}, total=0)\n"
    "    time.sleep(0.05)"
)
IDLE = program("say(event='ready')\n" + _BEATS.format(runs=0))
"""A worker without runs."""
BUSY = program("say(event='ready')\n" + _BEATS.format(runs=1))
"""A worker with a run that goes on, and only waits."""
STALLS = program("say(event='ready')\ntime.sleep(0.1)\nsay(event='stalled')\nsignal.pause()")
"""A worker that stops receiving messages."""
