"""What a supervisor passes to its successor in the same process: sockets, pipes and children.

`slipstream reload` has the supervisor replace its program by `exec`. The process stays the same, so
its children stay its children, and descriptors that are marked as inheritable stay open. What they
are is in a file without a name, whose descriptor is in an environment variable.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from slipstream.settings import take_variable

VARIABLE = "_SLIPSTREAM_HANDOVER"
VERSION = 1
"""Of the format. A supervisor that reads another one cannot succeed this one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PassedProcess:
    """A child that goes on."""

    key: str
    pid: int
    status_fd: int
    started_at: float
    """On the monotonic clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PassedServer(PassedProcess):
    """An inference server. Where several share a process, each has a lifeline of its own."""

    generation: int
    failed: bool
    settled: bool
    restarts: int
    socket: str
    lifeline_fd: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PassedSharedProcess:
    """A process with several inference servers."""

    pid: int
    status_fd: int
    control_fd: int
    started_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    """Everything that stays open."""

    reload_id: str
    lifeline_fds: tuple[int, int]
    lock_fd: int
    sockets: str
    """The folder of the inference servers' sockets."""
    socket_numbers: int
    """How many names of sockets have been used."""
    rest_fd: int
    grpc_fd: int
    signals: int
    """How many signals to stop have come."""
    gateways: Sequence[PassedProcess]
    workers: Sequence[PassedProcess]
    servers: Sequence[PassedServer]
    shared_processes: Sequence[PassedSharedProcess] = field(default=())

    def pass_on(self) -> str:
        """Mark the descriptors as inheritable; return the value of `VARIABLE`."""
        with tempfile.TemporaryFile() as file:
            file.write(json.dumps({"version": VERSION, **asdict(self)}).encode())
            file.flush()
            descriptor = os.dup(file.fileno())
        for each in (descriptor, *self._descriptors()):
            os.set_inheritable(each, True)
        return str(descriptor)

    @classmethod
    def receive(cls) -> Handover | None:
        """Return what the predecessor has passed on, or None."""
        found = take_variable(VARIABLE)
        if found is None:
            return None
        with os.fdopen(int(found), "rb") as file:
            file.seek(0)
            handover = cls._from_json(json.load(file))
        for each in handover._descriptors():  # noqa: SLF001 - of this class
            os.set_inheritable(each, False)
        return handover

    @classmethod
    def _from_json(cls, document: Mapping[str, Any]) -> Handover:  # Any: JSON
        values = {name: value for name, value in document.items() if name != "version"}
        values["lifeline_fds"] = tuple(values["lifeline_fds"])
        for name, kind in (
            ("gateways", PassedProcess),
            ("workers", PassedProcess),
            ("servers", PassedServer),
            ("shared_processes", PassedSharedProcess),
        ):
            values[name] = tuple(kind(**each) for each in values[name])
        return cls(**values)

    def _descriptors(self) -> Iterator[int]:
        yield from (*self.lifeline_fds, self.lock_fd, self.rest_fd, self.grpc_fd)
        for process in (*self.gateways, *self.workers, *self.servers):
            yield process.status_fd
        for server in self.servers:
            if server.lifeline_fd is not None:
                yield server.lifeline_fd
        for shared in self.shared_processes:
            yield from (shared.status_fd, shared.control_fd)
