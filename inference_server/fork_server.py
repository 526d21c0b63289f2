"""`python -m inference_server.fork_server`: forks inference servers off itself.

Nearly all time and memory that a small model's server takes to boot are imports. They are done once
here: a forked server has them from the start, and shares their memory pages until it writes to
them. Nothing that does not survive a fork is created here: no thread, no event loop, no session.

Each request arrives as one message on a socket (see `SpawnRequest`). A server is not our child: an
intermediate process forks it and exits at once, so that the kernel reparents it to the supervisor,
which is a subreaper. The supervisor waits for its servers itself, and they outlive this process.
"""

from __future__ import annotations

import argparse
import encodings.idna  # noqa: F401 - the first host name look-up imports it: share it, too
import gc
import os
import select
import signal
import socket
import sys
import time
import warnings
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from inference_server import settings
from inference_server.process import serve
from inference_server.runtime.host import MemoryLimit
from inference_server.runtime.session import ModelSession
from inference_server.runtime.warmup import warm_up
from inference_server.server import OnnxServer
from inference_server.spawn import SpawnRequest
from telemetry.parent_process import StatusPipe
from telemetry.process_name import set_process_name

_POLL_SECONDS = 0.0005
_IDENTITY_MODEL = b64decode(
    "CAgSADpBChAKAXgSAXkiCElkZW50aXR5EgFnWhQKAXgSDwoNCAESCQoDEgFOCgIIAWIUCgF5Eg8KDQgBEgkKAxIBTgoC"
    "CAFCBAoAEA0="
)
"""`y` FP32 [N, 1] is `x`."""


def main() -> None:
    """Fork on request until the parent is gone. Each child leaves this function as a server."""
    options = _parser().parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    set_process_name("fork server")
    # Python takes the nice value for the number of threads where a process name has a space.
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
    prefork_warmup()
    # A collection would write to every object, and so copy the pages that are to stay shared.
    gc.disable()
    gc.freeze()
    StatusPipe(options.status_fd).send("ready")
    try:
        request = _serve_requests(
            options.control_fd, options.lifeline_fd, supervisor_pid=os.getppid()
        )
    except OSError as error:
        sys.exit(f"inference_server.fork_server: cannot fork: {error.strerror}")
    if request is None:
        return
    gc.enable()
    for descriptor in (options.control_fd, options.lifeline_fd, options.status_fd):
        os.close(descriptor)
    try:
        request.report_pid()
    except BrokenPipeError:
        os._exit(1)
    descriptors = ["--status-fd", str(request.status_fd), "--lifeline-fd", str(request.lifeline_fd)]
    serve([*request.arguments, *descriptors], started_at=request.requested_at)


def prefork_warmup() -> None:
    """Do what every server does first, so that the servers share the memory that it takes.

    Modules that are imported late, ONNX Runtime's operator tables and code objects that have run
    are the larger half of what a server would otherwise allocate itself. The server and the session
    made here are dropped. No thread and no event loop is started.
    """
    with _memory_file(_IDENTITY_MODEL) as path:
        arguments = ["--store", "/", "--model", "warmup", "--version", "1", "--socket", str(path)]
        # Invalid settings in the environment are reported by each server itself.
        with suppress(SystemExit):
            chosen = settings.read(arguments)
            OnnxServer(chosen, MemoryLimit(), started_at=time.perf_counter())
            if chosen.trace_endpoint is not None:
                import telemetry.otlp  # noqa: F401, PLC0415 - a fifth of a second
        warm_up(ModelSession(path, threads=1))


@contextmanager
def _memory_file(content: bytes) -> Iterator[Path]:
    """Yield the path of a file that exists only in memory."""
    descriptor = os.memfd_create("warmup")
    try:
        os.write(descriptor, content)
        yield Path(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


def _serve_requests(
    control_fd: int, lifeline_fd: int, *, supervisor_pid: int
) -> SpawnRequest | None:
    """Return in each forked server with its request; here, at the end, with None."""
    with socket.socket(fileno=os.dup(control_fd)) as control:
        poll = select.poll()
        poll.register(control, select.POLLIN)
        poll.register(lifeline_fd, select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in poll.poll()}
            request = None if lifeline_fd in ready else SpawnRequest.receive(control)
            if request is None or _fork_detached(supervisor_pid):
                return request
            request.close()


def _fork_detached(supervisor_pid: int) -> bool:
    """Return True in a new child of the supervisor, False here."""
    intermediate_pid = os.fork()
    if intermediate_pid:
        os.waitpid(intermediate_pid, 0)
        return False
    intermediate_pid = os.getpid()
    try:
        if os.fork():
            os._exit(0)
    except OSError:
        os._exit(1)
    while os.getppid() == intermediate_pid:
        time.sleep(_POLL_SECONDS)
    if os.getppid() != supervisor_pid:
        os._exit(1)
    os.setpgid(0, 0)
    return True


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("inference_server.fork_server", description="Fork on request.")
    for name, text in (
        ("--control-fd", "socket that requests arrive on, one per message"),
        ("--status-fd", "file descriptor to report on"),
        ("--lifeline-fd", "pipe that closes when the parent dies"),
    ):
        parser.add_argument(name, type=int, required=True, help=text)
    return parser


if __name__ == "__main__":
    main()
