"""What a pool's processes run, and what they may use."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildProgram:
    """A module that calls `child.serve`, and its limits."""

    name: str
    """In messages, logs and metrics: one lower-case word."""
    module: str
    size: int
    """Processes at most; a tenant has at most half of them at a time."""
    memory_bytes: int
    """Data of a process: what it has allocated, stacks included."""
    cpu_seconds: float | None
    """CPU time of one request."""
    max_reply_bytes: int
    max_waiting_bytes: int = 256 << 20
    """Requests that wait or are answered; a tenant has at most half of it."""
    replaced_above_bytes: int | None = 128 << 20
    """Resident memory of an idle process above which it is replaced: the allocator returns little
    of it. None: it may keep what it needs."""
    start_seconds: float = 60.0
    """After which a process that is not ready is killed."""
    idle_seconds: float | None = None
    """After which an idle process ends, unless only `kept_idle` are left."""
    kept_idle: int = 0
    cancel_grace_seconds: float = 0.0
    """For which the process of a cancelled request may go on, to be kept for the next one."""
    output_lines: int = 20
    """Lines of their output that are logged in ten seconds."""
    has_environment: bool = False
    """Whether it gets this process's environment; else it has only the path of modules."""
    lowers_priority: bool = False
    """Whether a request that computes for long loses priority to shorter ones and to event loops.
    Its process is replaced afterwards, as priority cannot be raised."""
    repeatable: bool = True
    """Whether a request whose process was killed from outside is repeated on another one."""
    has_timers: bool = True
    """Whether signals of timers end it at the deadline, too, in case this process hangs. Code that
    is not ours may use these timers itself."""
