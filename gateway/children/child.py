"""The child's side: answers one request at a time, under limits that the kernel enforces.

None of them needs this process to cooperate, which may spend seconds in one instruction: timers
whose signals end it, a limit of its data, and a pipe to its owner whose end has it killed.
"""

from __future__ import annotations

import fcntl
import os
import resource
import select
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from io import BufferedRWPair
from pathlib import Path
from socket import socket

from gateway.children.messages import READY, REPLY, REQUEST, ReplyFlag

NICENESS = 5
"""Of a process at first: event loops and inference servers, which others wait for, go first."""
_ENDING = {signal.SIGALRM, signal.SIGPROF, signal.SIGIO}
"""Signals that end this process, whatever its owner was started with."""

Answer = Callable[[bytes, bytes], bytes]
"""Returns the reply to a request and its body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a process may use, see ChildProgram."""

    memory_bytes: int
    max_reply_bytes: int
    replaced_above_bytes: int | None


def serve(start: Callable[[], Answer], limits: Limits, *, connection: int, lifeline: int) -> None:
    """Answer requests until the owner closes its end of the socket `connection`.

    `start` does first what must not count as time of a request, and returns what answers them.
    """
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
    for number in _ENDING:
        signal.signal(number, signal.SIG_DFL)
    end_with_owner(lifeline)
    set_niceness(os.getpid(), NICENESS)
    with suppress(OSError):  # not Linux: the kernel ends this process before those that serve calls
        Path("/proc/self/oom_score_adj").write_text("1000")
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_DATA, limits.memory_bytes)
    answer = start()
    with socket(fileno=connection) as requests, requests.makefile("rwb") as stream:
        stream.write(READY)
        stream.flush()
        while header := stream.read(REQUEST.size):
            flags, reply = _answered(stream, answer, header, limits.max_reply_bytes)
            above = limits.replaced_above_bytes
            if above is not None and _resident_bytes() > above:
                flags |= ReplyFlag.LAST
            stream.write(REPLY.pack(len(reply), flags))
            stream.write(reply)
            stream.flush()
            if flags & ReplyFlag.LAST:
                return


def _answered(
    stream: BufferedRWPair, answer: Answer, header: bytes, max_reply_bytes: int
) -> tuple[ReplyFlag, bytes]:
    """Return the reply to the request that follows on the stream."""
    request_bytes, body_bytes, seconds, cpu_seconds = REQUEST.unpack(header)
    _set_timers(seconds, cpu_seconds)
    try:
        reply = answer(stream.read(request_bytes), stream.read(body_bytes))
    except MemoryError:
        return ReplyFlag.OUT_OF_MEMORY | ReplyFlag.LAST, b""
    finally:
        if seconds or cpu_seconds:
            _set_timers(0, 0)
    if len(reply) > max_reply_bytes:
        return ReplyFlag.TOO_LARGE, b""
    return ReplyFlag(0), reply


def _resident_bytes() -> int:
    """Return the resident memory. Not `ru_maxrss`, which begins with that of the parent."""
    with suppress(FileNotFoundError), Path("/proc/self/statm").open("rb", buffering=0) as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()
    return 0  # not Linux


def _set_timers(seconds: float, cpu_seconds: float) -> None:
    """Have SIGALRM at the deadline, or SIGPROF after the CPU time, end this process; 0: neither."""
    for timer, after in ((signal.ITIMER_REAL, seconds), (signal.ITIMER_PROF, cpu_seconds)):
        signal.setitimer(timer, after)


def set_niceness(pid: int, niceness: int) -> None:
    """Set by how much a process's niceness exceeds this one's, and that of its session.

    Where there are no CPU cgroups, Linux compares sessions: niceness counts only within one
    (sched(7)).

    Raises:
        OSError: there is no such process, or it is nicer already.
    """
    os.setpriority(os.PRIO_PROCESS, pid, os.getpriority(os.PRIO_PROCESS, 0) + niceness)
    with suppress(OSError):  # there is no such file, or it was written to a moment ago
        Path(f"/proc/{pid}/autogroup").write_text(str(niceness))


def end_with_owner(lifeline: int) -> None:
    """Have this process and its group killed when the other end of the pipe `lifeline` is closed.

    By the kernel, so also if it is stopped; for this, it must lead its group. Where the kernel
    knows no other signal for this than SIGIO (macOS), by that.
    """
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpid())
    if sys.platform == "linux":
        fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
    flags = fcntl.fcntl(lifeline, fcntl.F_GETFL)
    fcntl.fcntl(lifeline, fcntl.F_SETFL, flags | os.O_ASYNC)
    closed = select.poll()
    closed.register(lifeline, select.POLLIN)
    if closed.poll(0):  # before
        os._exit(1)


def _limit(kind: int, amount: int) -> None:
    """Lower a resource limit of this process; one that is lower already stays."""
    _, hard = resource.getrlimit(kind)
    lowest = amount if hard == resource.RLIM_INFINITY else min(amount, hard)
    resource.setrlimit(kind, (lowest, lowest))
