"""What an inference server can be, and what may follow what. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Desired(StrEnum):
    """What somebody asked for.

    `stopped` is a person's wish, and stays. `asleep` follows `running` by itself where nobody has
    called for `idle_timeout_seconds`, and `running` follows `asleep` with the first call.
    """

    RUNNING = "running"
    STOPPED = "stopped"
    ASLEEP = "asleep"
    """There is no process, and the first call starts one."""


class State(StrEnum):
    """What was last seen of the process."""

    STOPPED = "stopped"
    """There is no process."""
    BOOTING = "booting"
    """The process is on its way up; the phase says how far."""
    READY = "ready"
    """It answers."""
    DRAINING = "draining"
    """It finishes the calls that it has and takes no more."""
    FAILED = "failed"
    """It could not load its model; the reason says why."""


class Phase(StrEnum):
    """How far a booting server is."""

    SPAWNING = "spawning"
    LOADING = "loading"
    WARMING = "warming"


TRANSITIONS: Mapping[State, frozenset[State]] = {
    State.STOPPED: frozenset({State.BOOTING, State.FAILED}),
    State.BOOTING: frozenset({State.READY, State.FAILED, State.DRAINING, State.STOPPED}),
    State.READY: frozenset({State.BOOTING, State.DRAINING, State.STOPPED, State.FAILED}),
    State.DRAINING: frozenset({State.STOPPED, State.BOOTING}),
    State.FAILED: frozenset({State.BOOTING, State.DRAINING, State.STOPPED}),
}
"""State → what may follow it. Ready → booting is a crash that is being mended."""


def check_transition(old: State, new: State) -> State:
    """Return `new` where it may follow `old` (or is `old`), else raise ValueError."""
    if new is not old and new not in TRANSITIONS[old]:
        raise ValueError(f"an inference server that is {old} cannot become {new}")
    return new
