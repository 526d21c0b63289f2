"""`python -m gateway.children.fork_server`: forks the children of one program off itself.

Most of the time and memory that a child takes to start are imports. They are done once here: a
child has them from the start, and shares their memory pages until it writes to them. There is no
thread and no event loop here, which would not survive a fork.

A request for a child is a byte with four descriptors, see `Request`. This process reports the
child's pid on one of them, and its exit status at the end. The owner kills a child by closing its
lifeline: this needs neither the help of this process nor a pid, which could belong to another
process by then. A lower priority needs a pid, so the owner requests it here.
"""

from __future__ import annotations

import argparse
import errno
import gc
import os
import select
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from socket import MSG_WAITALL, recv_fds, socket

from gateway.children import messages
from gateway.children.child import Limits, end_with_owner, serve, set_niceness
from gateway.children.messages import PRIORITY, REPORT
from telemetry.process_name import set_process_name


@dataclass(frozen=True, slots=True)
class Request:
    """The descriptors of a child."""

    connection: int
    """Its end of the socket for requests."""
    lifeline: int
    """The reading end of a pipe, see `child.end_with_owner`."""
    output: int
    """Its stdout and stderr."""
    report: int
    """Our end of the socket for its pid and exit status."""


def main() -> None:
    """Fork until the owner is gone. Each child leaves `ForkLoop.run` with its descriptors."""
    options = _parser().parse_args()
    end_with_owner(options.lifeline)
    set_process_name("fork_server")
    start = import_module(options.module).start
    sys.stdout.flush()
    # A collection would write to every object, and so copy the pages that are to stay shared.
    gc.disable()
    gc.freeze()
    request = ForkLoop(options.control).run()
    os.close(options.lifeline)
    if request is None:
        return
    gc.enable()
    set_process_name(options.name)
    limits = Limits(
        memory_bytes=options.memory_bytes,
        max_reply_bytes=options.max_reply_bytes,
        replaced_above_bytes=options.replaced_above_bytes,
    )
    serve(start, limits, connection=request.connection, lifeline=request.lifeline)


class ForkLoop:
    """Forks children, and reports how they ended."""

    def __init__(self, control: int) -> None:
        self._control = socket(fileno=control)
        self._reports: dict[int, socket] = {}
        """By the pid of the child."""
        self._signalled, self._wakeup = os.pipe()
        os.set_blocking(self._signalled, False)
        os.set_blocking(self._wakeup, False)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wakeup, warn_on_full_buffer=False)
        self._poll = select.poll()
        self._poll.register(self._control, select.POLLIN)
        self._poll.register(self._signalled, select.POLLIN)

    def run(self) -> Request | None:
        """Return in each child with its request; here, when the owner is gone, with None."""
        while True:
            ready = {descriptor for descriptor, _ in self._poll.poll()}
            if self._signalled in ready:
                os.read(self._signalled, 4096)
            self._reap()
            if self._control.fileno() in ready:
                message, descriptors, _, _ = recv_fds(self._control, 1, 4)
                match message:
                    case messages.FORK:
                        if self._fork(request := Request(*descriptors)):
                            return request
                    case messages.LOWER:
                        self._lower_priority()
                    case _:  # nothing: the owner is gone
                        return None

    def _lower_priority(self) -> None:
        pid, niceness = PRIORITY.unpack(self._control.recv(PRIORITY.size, MSG_WAITALL))
        if pid in self._reports:  # else it may be another process's number
            with suppress(OSError):  # someone has lowered it further
                set_niceness(pid, niceness)

    def _fork(self, request: Request) -> bool:
        """Return True in the child, False here."""
        try:
            pid = os.fork()
        except OSError as error:
            pid = -(error.errno or errno.EAGAIN)
        if not pid:
            self._become_child(request)
            return True
        report = socket(fileno=request.report)
        _send(report, pid)
        for descriptor in (request.connection, request.lifeline, request.output):
            os.close(descriptor)
        if pid > 0:
            self._reports[pid] = report
        else:
            report.close()
        return False

    def _become_child(self, request: Request) -> None:
        os.setsid()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._control.close()
        for report in self._reports.values():
            report.close()
        for descriptor in (1, 2):
            os.dup2(request.output, descriptor)
        for descriptor in (self._signalled, self._wakeup, request.output, request.report):
            os.close(descriptor)
        for descriptor in (request.connection, request.lifeline):
            os.set_inheritable(descriptor, False)

    def _reap(self) -> None:
        """Report what children have ended."""
        while self._reports:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            with self._reports.pop(pid) as report:
                _send(report, os.waitstatus_to_exitcode(status))


def _send(report: socket, number: int) -> None:
    with suppress(OSError):  # the owner has ended
        report.send(REPORT.pack(number))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--control", type=int, required=True, metavar="FD")
    parser.add_argument("--lifeline", type=int, required=True, metavar="FD")
    parser.add_argument("--name", required=True)
    parser.add_argument("--memory-bytes", type=int, required=True)
    parser.add_argument("--max-reply-bytes", type=int, required=True)
    parser.add_argument("--replaced-above-bytes", type=int)
    parser.add_argument("module", help="has a function `start`, see `child.serve`")
    return parser


if __name__ == "__main__":
    main()
