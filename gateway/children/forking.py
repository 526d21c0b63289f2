"""The fork server of a program, as its owner sees it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from contextlib import suppress
from socket import send_fds, socketpair

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
        """Start it. Raises OSError if the system cannot start another process.

        This stops the event loop for some milliseconds. Not by asyncio, whose subprocesses need
        the main thread's event loop.
        """
        ours, theirs = socketpair()
        lifeline, self._lifeline = os.pipe()
        read_end, write_end = os.pipe()
        try:
            self._process = subprocess.Popen(
                _command(program, theirs.fileno(), lifeline),
                stdin=subprocess.DEVNULL,
                stdout=write_end,
                stderr=write_end,
                pass_fds=(theirs.fileno(), lifeline),
                env=_environment(program),
                start_new_session=True,  # Ctrl-C is for the supervisor
            )
        except OSError:
            ours.close()
            os.close(self._lifeline)
            os.close(read_end)
            raise
        finally:
            theirs.close()
            os.close(lifeline)
            os.close(write_end)
        ours.setblocking(False)
        self._control = ours
        self._output = OutputReader(read_end, self._process.pid, output)
        self._life = asyncio.create_task(self._live(), name="child process forks")
        self._killed = False
        self.has_forked = False
        """Whether it has imported everything."""

    @property
    def alive(self) -> bool:
        """Whether it has not ended, and is not about to."""
        return not self._killed and self._process.poll() is None

    @property
    def ended(self) -> bool:
        """Whether nothing is left to wait for."""
        return self._life.done()

    def fork(self, connection: int, lifeline: int, output: int, report: int) -> None:
        """Request a child with these descriptors; see `Request`.

        Raises:
            OSError: it has ended, or reads no requests.
        """
        send_fds(self._control, [b"."], (connection, lifeline, output, report))

    def kill(self) -> None:
        """Kill it. Its children end when their lifelines do, and report nothing."""
        self._killed = True
        self._process.kill()

    async def end(self) -> None:
        """Kill it, and wait for its end."""
        self.kill()
        await asyncio.shield(self._life)

    async def _live(self) -> None:
        """Wait for its end: it sends nothing, so there is nothing to read until then."""
        with suppress(OSError):  # it has ended before it has read all requests
            await asyncio.get_running_loop().sock_recv(self._control, 1)
        while self._process.poll() is None:  # noqa: ASYNC110 - watchers need the main thread
            await asyncio.sleep(_REAP_SECONDS)
        self._control.close()
        os.close(self._lifeline)
        self._output.close()


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
