"""`python -m inference_server.fork_server`: forks inference servers off itself.

Nearly all that a small model's server takes to boot, in time and in memory, are its imports. Here
they are done once: a child has them from its first moment, and shares their memory until it writes
to it. Nothing that does not survive a fork is made here: no thread, no event loop, no session.

Each request comes as one message on a socket (see `_Request`). The child is nobody's child here: a
process in between ends at once, so that the child goes to whoever adopts orphans, the supervisor.
It waits for its children itself, then, and the end of this process means nothing to them. The
child's first status line is `born`, with its pid: there is no answer but that. If the status pipe
closes without it, there is no child and never will be.
"""

from __future__ import annotations

import argparse
import gc
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import orjson

from inference_server.parent import StatusLines
from inference_server.process import name_process, serve
from inference_server.rehearsal import rehearse

_LONGEST_REQUEST = 1 << 17
_DESCRIPTORS = 2
_PAUSE_SECONDS = 0.0005


@dataclass(frozen=True, slots=True)
class _Request:
    """One wanted child.

    On the wire JSON with `arguments` (of `python -m inference_server`) and `asked_at` (a
    `perf_counter()`, which all processes of a Linux machine share), and beside it two descriptors.
    """

    arguments: Sequence[str]
    asked_at: float
    status_fd: int
    lifeline_fd: int

    @classmethod
    def receive(cls, control: socket.socket) -> Self | None:
        """Wait for the next request; None when there will be none."""
        message, descriptors, _, _ = socket.recv_fds(control, _LONGEST_REQUEST, _DESCRIPTORS)
        if not message:
            return None
        status_fd, lifeline_fd = descriptors
        return cls(**orjson.loads(message), status_fd=status_fd, lifeline_fd=lifeline_fd)

    def close(self) -> None:
        """Give the descriptors back."""
        os.close(self.status_fd)
        os.close(self.lifeline_fd)


def main() -> None:
    """Fork on request, until the parent is gone. Each child comes out of here as a server."""
    given = _parser().parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    name_process("fork server")
    rehearse()
    # A collection would write to every object, and so copy the pages that are to stay shared.
    gc.disable()
    gc.freeze()
    StatusLines(given.status_fd).write("ready")
    try:
        child = _next_child(given.control_fd, given.lifeline_fd, supervisor=os.getppid())
    except OSError as error:
        sys.exit(f"inference_server.fork_server: cannot fork: {error.strerror}")
    if child is None:
        return
    gc.enable()
    for descriptor in (given.control_fd, given.lifeline_fd, given.status_fd):
        os.close(descriptor)
    _report_birth(child.status_fd)
    descriptors = ["--status-fd", str(child.status_fd), "--lifeline-fd", str(child.lifeline_fd)]
    serve([*child.arguments, *descriptors], began=child.asked_at)


def _next_child(control_fd: int, lifeline_fd: int, *, supervisor: int) -> _Request | None:
    """Serve requests; return in each child with its own, and in the end, here, with None."""
    with socket.socket(fileno=os.dup(control_fd)) as control:
        while True:
            ready, _, _ = select.select([control.fileno(), lifeline_fd], [], [])
            request = None if lifeline_fd in ready else _Request.receive(control)
            if request is None or _fork(supervisor):
                return request
            request.close()


def _fork(supervisor: int) -> bool:
    """Return True in a child that the supervisor has adopted, and False here."""
    between = os.fork()
    if between:
        os.waitpid(between, 0)
        return False
    between = os.getpid()
    try:
        if os.fork():
            os._exit(0)
    except OSError:
        os._exit(1)
    while os.getppid() == between:
        time.sleep(_PAUSE_SECONDS)
    if os.getppid() != supervisor:
        os._exit(1)
    os.setpgid(0, 0)
    return True


def _report_birth(status_fd: int) -> None:
    """Say who we are; end where nobody waits for us any more."""
    line = orjson.dumps({"event": "born", "pid": os.getpid()}, option=orjson.OPT_APPEND_NEWLINE)
    try:
        os.write(status_fd, line)
    except BrokenPipeError:
        os._exit(1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("inference_server.fork_server", description="Fork on request.")
    for name, text in (
        ("--control-fd", "socket on which the requests come, one a message"),
        ("--status-fd", "file descriptor to report on"),
        ("--lifeline-fd", "pipe whose closing means that the parent is dead"),
    ):
        parser.add_argument(name, type=int, required=True, help=text)
    return parser


if __name__ == "__main__":
    main()
