"""The evaluator process: answers one request at a time, under limits that the kernel enforces.

None of them needs this process to cooperate, which may spend seconds in one instruction: timers
whose signals end it, a limit of its address space, and a pipe to the gateway whose end sends a
signal, too.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import resource
import signal
from collections.abc import Callable
from contextlib import suppress
from io import BufferedRWPair
from pathlib import Path
from socket import socket

from gateway.evaluator.messages import MAX_REPLY_BYTES, REPLY, REQUEST, ReplyFlag

_NICENESS = 5
"""Event loops and inference servers, which others wait for, go first."""
_LARGE_BYTES = 128 << 20
"""Resident memory above which a process is replaced: the allocator returns little of it."""
_SHORTEST = 0.001
_ENDING = {signal.SIGALRM, signal.SIGPROF, signal.SIGIO}
"""Signals that end this process, whatever the gateway was started with."""

Answer = Callable[[bytes], bytes]


def serve(answer: Answer) -> None:
    """Answer requests until the gateway closes the socket."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--socket", type=int, required=True, metavar="FD")
    parser.add_argument("--lifeline", type=int, required=True, metavar="FD")
    parser.add_argument("--memory-bytes", type=int, required=True)
    options = parser.parse_args()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
    for number in _ENDING:
        signal.signal(number, signal.SIG_DFL)
    _end_with_gateway(options.lifeline)
    os.nice(_NICENESS)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_AS, options.memory_bytes)
    with socket(fileno=options.socket) as connection, connection.makefile("rwb") as stream:
        while header := stream.read(REQUEST.size):
            length, seconds, cpu_seconds = REQUEST.unpack(header)
            if _reply(stream, answer, length, (seconds, cpu_seconds)) & ReplyFlag.LAST:
                return


def _reply(
    stream: BufferedRWPair, answer: Answer, length: int, seconds: tuple[float, float]
) -> ReplyFlag:
    """Answer one request; return the flags of the reply."""
    flags = ReplyFlag(0)
    body = b""
    _set_timers(*(max(one, _SHORTEST) for one in seconds))
    try:
        body = answer(stream.read(length))
    except MemoryError:
        flags = ReplyFlag.OUT_OF_MEMORY | ReplyFlag.LAST
    _set_timers(0, 0)
    if len(body) > MAX_REPLY_BYTES:
        flags, body = ReplyFlag.TOO_LARGE, b""
    if _resident_bytes() > _LARGE_BYTES:
        flags |= ReplyFlag.LAST
    stream.write(REPLY.pack(len(body), flags))
    stream.write(body)
    stream.flush()
    return flags


def _resident_bytes() -> int:
    """Return the resident memory. Not `ru_maxrss`, which begins with that of the parent."""
    with suppress(FileNotFoundError), Path("/proc/self/statm").open("rb", buffering=0) as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()
    return 0  # not Linux


def _set_timers(seconds: float, cpu_seconds: float) -> None:
    """Have SIGALRM at the deadline, or SIGPROF after the CPU time, end this process; 0: neither."""
    signal.setitimer(signal.ITIMER_REAL, seconds)
    signal.setitimer(signal.ITIMER_PROF, cpu_seconds)


def _end_with_gateway(lifeline: int) -> None:
    """Have SIGIO end this process when the other end of the pipe `lifeline` is closed."""
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    flags = fcntl.fcntl(lifeline, fcntl.F_GETFL)
    fcntl.fcntl(lifeline, fcntl.F_SETFL, flags | os.O_ASYNC)


def _limit(kind: int, amount: int) -> None:
    """Lower a resource limit of this process; one that is lower already stays."""
    _, hard = resource.getrlimit(kind)
    lowest = amount if hard == resource.RLIM_INFINITY else min(amount, hard)
    resource.setrlimit(kind, (lowest, lowest))
