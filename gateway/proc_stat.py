"""What Linux tells of a process in /proc/PID/stat (proc_pid_stat(5)).

psutil reads the same, but its start time changes with the clock of the machine.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ProcStat:
    """Those fields that are used."""

    state: str
    """A letter: T is stopped by a signal; Z and X have ended."""
    started: str
    """The start time in clock ticks since the boot. With the pid it names one process."""


def read_proc_stat(pid: int) -> ProcStat:
    """Return what is known of a process. Raises OSError if it is not there, or not visible."""
    text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    fields = text.rpartition(")")[2].split()  # the name before it may contain anything
    return ProcStat(state=fields[0], started=fields[19])


def is_stopped(pid: int) -> bool:
    """Whether a signal (SIGSTOP) has stopped the process; False where that is not known."""
    with suppress(OSError):  # it has ended, or this is not Linux
        return read_proc_stat(pid).state == "T"
    return False
