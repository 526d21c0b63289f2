"""Counts Python calls in a process of Slipstream, between SIGUSR1 and SIGUSR2.

Python imports this module at start because `benchmarks.call_profile` puts its folder on PYTHONPATH.
The counts of the main thread, which runs the event loop, go to $BENCH_PROFILE/PID.json.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from types import FrameType

_ROOT = str(Path(__file__).resolve().parent.parent.parent) + os.sep
_SKIPPED = (_ROOT + ".venv", _ROOT + "benchmarks")

_calls: list[str] = []


def _on_event(frame: FrameType, event: str, _argument: object) -> None:
    if event == "call":
        path = frame.f_code.co_filename
        if path.startswith(_ROOT) and not path.startswith(_SKIPPED):
            _calls.append(f"{path.removeprefix(_ROOT)}:{frame.f_code.co_qualname}")


def _start(_number: int, _frame: FrameType | None) -> None:
    _calls.clear()
    sys.setprofile(_on_event)


def _stop(_number: int, _frame: FrameType | None) -> None:
    sys.setprofile(None)
    target = Path(os.environ["BENCH_PROFILE"]) / f"{os.getpid()}.json"
    partial = target.with_suffix(".part")
    partial.write_text(json.dumps(_calls))
    partial.rename(target)


if "BENCH_PROFILE" in os.environ:
    signal.signal(signal.SIGUSR1, _start)
    signal.signal(signal.SIGUSR2, _stop)
