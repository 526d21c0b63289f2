"""A gateway or a worker, as the one that looks after it sees it.

Supervisors import this first: it imports very little.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address

from gateway.fleet.states import State


class ProcessKind(StrEnum):
    """What a process does."""

    GATEWAY = "gateway"
    WORKER = "worker"
    """It executes runs of the queues."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenProcess:
    """What is known of it.

    Attributes:
        kind: what it does.
        name: tells those of one machine apart.
        state: as of an inference server: `ready` once it has started, `stopped` while it sleeps.
        reason: why it is in that state, if there is something to say.
        pid: None while it has no process.
        address: the URL of its REST port, or of its probes and metrics, if it has one.
        concurrency: how many runs a worker executes at a time.
    """

    kind: ProcessKind
    name: str
    state: State
    reason: str | None = None
    pid: int | None = None
    address: str | None = None
    concurrency: int | None = None


def http_address(host: str, port: int, *, tls: bool = False) -> str:
    """Return the URL of a port that listens on `host`, as other machines may reach it."""
    with suppress(ValueError):  # it is a name
        if ip_address(host).is_unspecified:
            host = socket.gethostname()
    return f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"
