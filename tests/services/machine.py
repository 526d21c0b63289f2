"""Where a server runs: on this machine, or in a network namespace of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """An address, and the words before a command that have it run there."""

    address: str = "127.0.0.1"
    prefix: Sequence[str] = ()


LOCAL = Machine()
