"""What Linux tells of a process in /proc/PID/stat (proc_pid_stat(5)).

psutil reads the same, but its start time changes with the clock of the machine.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

STOPPED = "T"
"""The state of a process that a signal (SIGSTOP) has stopped."""
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class ProcStat:
    """Those fields that are used."""

    state: str
    """A letter: STOPPED; Z and X have ended."""
    cpu_seconds: float
    """CPU time of all its threads, in steps of some 10 ms."""
    started: str
    """The start time in clock ticks since the boot. With the pid it names one process."""


def read_proc_stat(pid: int) -> ProcStat:
    """Return what is known of a process. Raises OSError if it is not there, or not visible."""
    text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    fields = text.rpartition(")")[2].split()  # the name before it may contain anything
    ticks = int(fields[11]) + int(fields[12])
    return ProcStat(state=fields[0], cpu_seconds=ticks / _TICKS_PER_SECOND, started=fields[19])


def is_stopped(pid: int) -> bool:
    """Whether the process is STOPPED; False where that is not known."""
    with suppress(OSError):  # it has ended, or this is not Linux
        return read_proc_stat(pid).state == STOPPED
    return False
