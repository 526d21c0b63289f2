"""The child's side: answers one request at a time, under limits that the kernel enforces.

None of them needs this process to cooperate, which may spend seconds in one instruction: timers
whose signals end it, a limit of its data, and a pipe to its parent whose end sends a signal, too.
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

from gateway.children.messages import READY, REPLY, REQUEST, ReplyFlag

_NICENESS = 5
"""Event loops and inference servers, which others wait for, go first."""
_ENDING = {signal.SIGALRM, signal.SIGPROF, signal.SIGIO}
"""Signals that end this process, whatever its parent was started with."""

Answer = Callable[[bytes, bytes], bytes]
"""Returns the reply to a request and its body."""


def serve(answer: Answer, prepare: Callable[[], object] = lambda: None) -> None:
    """Answer requests until the parent closes the socket. Reads the command line.

    `prepare` does first what must not count as time of a request.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--socket", type=int, required=True, metavar="FD")
    parser.add_argument("--lifeline", type=int, required=True, metavar="FD")
    parser.add_argument("--memory-bytes", type=int, required=True)
    parser.add_argument("--max-reply-bytes", type=int, required=True)
    parser.add_argument("--replaced-above-bytes", type=int)
    options = parser.parse_args()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
    for number in _ENDING:
        signal.signal(number, signal.SIG_DFL)
    _end_with_parent(options.lifeline)
    os.nice(_NICENESS)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_DATA, options.memory_bytes)
    prepare()
    with socket(fileno=options.socket) as connection, connection.makefile("rwb") as stream:
        stream.write(READY)
        stream.flush()
        while header := stream.read(REQUEST.size):
            flags, reply = _answered(stream, answer, header, options.max_reply_bytes)
            above = options.replaced_above_bytes
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


def _end_with_parent(lifeline: int) -> None:
    """Have SIGIO end this process when the other end of the pipe `lifeline` is closed."""
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    flags = fcntl.fcntl(lifeline, fcntl.F_GETFL)
    fcntl.fcntl(lifeline, fcntl.F_SETFL, flags | os.O_ASYNC)


def _limit(kind: int, amount: int) -> None:
    """Lower a resource limit of this process; one that is lower already stays."""
    _, hard = resource.getrlimit(kind)
    lowest = amount if hard == resource.RLIM_INFINITY else min(amount, hard)
    resource.setrlimit(kind, (lowest, lowest))
