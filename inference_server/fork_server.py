"""`python -m inference_server.fork_server`: forks inference servers off itself.

Nearly all that a small model's server takes to boot, in time and in memory, are its imports. Here
they are done once: a child has them from its first moment, and shares their memory until it writes
to it. Nothing that does not survive a fork is made here: no thread, no event loop, no session.

Each request arrives as one message on a socket (see `SpawnRequest`). It is not our child: an
intermediate process forks it and exits at once, so that the kernel reparents it to the supervisor,
which is a subreaper. The supervisor waits for its servers itself; they outlive this process.
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

from inference_server.prefork_warmup import prefork_warmup
from inference_server.process import serve, set_process_name
from inference_server.spawn import SpawnRequest
from telemetry.parent_process import StatusPipe

_PAUSE_SECONDS = 0.0005


def main() -> None:
    """Fork on request, until the parent is gone. Each child comes out of here as a server."""
    given = _parser().parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    set_process_name("fork server")
    prefork_warmup()
    # A collection would write to every object, and so copy the pages that are to stay shared.
    gc.disable()
    gc.freeze()
    StatusPipe(given.status_fd).send("ready")
    try:
        child = _next_child(given.control_fd, given.lifeline_fd, supervisor=os.getppid())
    except OSError as error:
        sys.exit(f"inference_server.fork_server: cannot fork: {error.strerror}")
    if child is None:
        return
    gc.enable()
    for descriptor in (given.control_fd, given.lifeline_fd, given.status_fd):
        os.close(descriptor)
    try:
        child.report_birth()
    except BrokenPipeError:
        os._exit(1)
    descriptors = ["--status-fd", str(child.status_fd), "--lifeline-fd", str(child.lifeline_fd)]
    serve([*child.arguments, *descriptors], began=child.requested_at)


def _next_child(control_fd: int, lifeline_fd: int, *, supervisor: int) -> SpawnRequest | None:
    """Serve requests; return in each child with its own, and in the end, here, with None."""
    with socket.socket(fileno=os.dup(control_fd)) as control:
        while True:
            ready, _, _ = select.select([control.fileno(), lifeline_fd], [], [])
            request = None if lifeline_fd in ready else SpawnRequest.receive(control)
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
