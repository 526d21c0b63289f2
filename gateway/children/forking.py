"""The fork server of a program, as its owner sees it."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from socket import send_fds, socket, socketpair
from threading import Thread

from gateway.children.messages import FORK, LOWER, PRIORITY
from gateway.children.output import OutputLog, OutputReader
from gateway.children.program import ChildProgram
from telemetry.allocator import ALLOCATION

_MODULE = "gateway.children.fork_server"
_REAP_SECONDS = 0.005


class ForkServer:
    """Forks the children of a program, see `gateway.children.fork_server`. For one event loop.

    It ends when this process does, and its children do.
    """

    def __init__(self, program: ChildProgram, output: OutputLog) -> None:
        """Begin to start it, in a thread: that takes milliseconds, or much longer on a busy host.

        Not by asyncio, whose subprocesses need the main thread's event loop. Raises OSError if the
        system has no descriptors for it.
        """
        ours, theirs = socketpair()
        lifeline, self._lifeline = os.pipe()
        read_end, write_end = os.pipe()
        ours.setblocking(False)
        self._control = ours
        self._process: subprocess.Popen[bytes] | None = None
        self._killed = False
        self.refusal: OSError | None = None
        """Why the system could not start it."""
        self.has_forked = False
        """Whether it has imported everything."""
        start = partial(self._start, program, theirs, lifeline, write_end)
        self._life = asyncio.create_task(
            self._live(start, read_end, output), name="child process forks"
        )

    @property
    def alive(self) -> bool:
        """Whether it has not ended, and is not about to."""
        if self._process is None:
            return not self._killed and self.refusal is None
        return not self._killed and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The number of the process; 0: it has not been started."""
        return 0 if self._process is None else self._process.pid

    @property
    def ended(self) -> bool:
        """Whether nothing is left to wait for."""
        return self._life.done()

    def fork(self, connection: int, lifeline: int, output: int, report: int) -> None:
        """Request a child with these descriptors; see `Request`. It waits until this has started.

        Raises:
            OSError: it has ended, or reads no requests.
        """
        send_fds(self._control, [FORK], (connection, lifeline, output, report))

    def lower_priority(self, pid: int, niceness: int) -> None:
        """Request a `niceness` for a child, see `child.set_niceness`; not if it has ended."""
        with suppress(OSError):
            self._control.send(LOWER + PRIORITY.pack(pid, niceness))

    def kill(self) -> None:
        """Kill it. Its children end when their lifelines do, and report nothing."""
        self._killed = True
        if self._process is not None:
            self._process.kill()

    async def end(self) -> None:
        """Kill it, and wait for its end."""
        self.kill()
        await asyncio.shield(self._life)

    async def _live(self, start: Callable[[], None], read_end: int, output: OutputLog) -> None:
        """Start it, and wait for its end."""
        loop = asyncio.get_running_loop()
        started = asyncio.Event()

        def run() -> None:
            start()
            with suppress(RuntimeError):  # the loop is closed: this process is ending
                loop.call_soon_threadsafe(started.set)

        try:
            Thread(target=run, name="fork server", daemon=True).start()
        except RuntimeError as error:  # the system has none
            self.refusal, self._killed = OSError(errno.EAGAIN, str(error)), True
            start()  # closes its ends, and no more
        else:
            await started.wait()
        if self._process is None:
            os.close(read_end)
        else:
            reader = OutputReader(read_end, self._process.pid, output)
            with suppress(OSError):  # it has ended before it has read all requests
                # It sends nothing, so there is nothing to read until then.
                await loop.sock_recv(self._control, 1)
            while self._process.poll() is None:  # noqa: ASYNC110 - watchers need the main thread
                await asyncio.sleep(_REAP_SECONDS)
            reader.close()
        self._control.close()
        os.close(self._lifeline)

    def _start(self, program: ChildProgram, control: socket, lifeline: int, output: int) -> None:
        """Start it with these descriptors. In a thread.

        Last, they are closed here: also those of requests that wait in `control`.
        """
        try:
            if self._killed:
                return
            self._process = subprocess.Popen(
                _command(program, control.fileno(), lifeline),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(control.fileno(), lifeline),
                env=_environment(program),
                start_new_session=True,  # Ctrl-C is for the supervisor
            )
            if self._killed:  # meanwhile
                self._process.kill()
        except OSError as error:
            self.refusal = error
        finally:
            control.close()
            os.close(lifeline)
            os.close(output)


def _command(program: ChildProgram, control: int, lifeline: int) -> list[str]:
    command = [
        *(sys.executable, "-s", "-P", "-m", _MODULE),
        *("--control", str(control), "--lifeline", str(lifeline), "--name", program.name),
        *("--memory-bytes", str(program.memory_bytes)),
        *("--max-reply-bytes", str(program.max_reply_bytes)),
    ]
    if program.replaced_above_bytes is not None:
        command += ("--replaced-above-bytes", str(program.replaced_above_bytes))
    return [*command, program.module]


def _environment(program: ChildProgram) -> dict[str, str]:
    """Return the environment: most programs need none of this process's secrets."""
    inherited = dict(os.environ) if program.has_environment else {}  # noqa: TID251 - passed on
    return {**ALLOCATION, **inherited, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
