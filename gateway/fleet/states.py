"""The states of an inference server and their legal transitions."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Desired(StrEnum):
    """The desired state.

    `stopped` is set by a user and stays. `running` becomes `asleep` after `idle_timeout_seconds`
    without a call, and `asleep` becomes `running` with the next call.
    """

    RUNNING = "running"
    STOPPED = "stopped"
    ASLEEP = "asleep"
    """No process; the next call starts one."""


class NeededBy(StrEnum):
    """Why a server runs."""

    PERSON = "person"
    """A person has asked for it: it runs until one stops it."""
    DEPLOYMENT = "deployment"
    """It was started for a version of a deployment."""
    NOTHING = "nothing"
    """It was, and a rollout has ended that version: it sleeps after a minute without a call."""


class Batching(StrEnum):
    """Which calls share runs of a model."""

    AUTO = "auto"
    """All, if it is proved that no row of the model reaches another one."""
    OFF = "off"
    """None: each call runs alone."""
    DECLARED = "declared"
    """Where nothing is proved, calls whose keys have the same owner: by the word of who serves
    it."""


class State(StrEnum):
    """The last observed state of the process."""

    STOPPED = "stopped"
    """No process."""
    BOOTING = "booting"
    """The process is starting; see Phase."""
    READY = "ready"
    """It answers calls."""
    UNRESPONSIVE = "unresponsive"
    """It has fallen silent, or a run in it does not end; the process is being replaced."""
    DRAINING = "draining"
    """It finishes the calls in flight and accepts no new ones."""
    FAILED = "failed"
    """It could not load its model; see `reason`. If the process had to end, the next attempt
    follows after a while."""


class Phase(StrEnum):
    """The phase of a booting server."""

    FETCHING = "fetching"
    """The model is being transferred from the store to the host; there is no process yet."""
    SPAWNING = "spawning"
    LOADING = "loading"
    WARMING = "warming"


TRANSITIONS: Mapping[State, frozenset[State]] = {
    State.STOPPED: frozenset({State.BOOTING, State.FAILED}),
    State.BOOTING: frozenset(set(State) - {State.BOOTING}),
    State.READY: frozenset(set(State) - {State.READY}),
    State.UNRESPONSIVE: frozenset({State.BOOTING, State.DRAINING, State.STOPPED}),
    State.DRAINING: frozenset({State.STOPPED, State.BOOTING, State.UNRESPONSIVE}),
    State.FAILED: frozenset({State.BOOTING, State.DRAINING, State.STOPPED}),
}
"""State → possible next states. Ready → booting is the restart after a crash."""


def check_transition(old: State, new: State) -> State:
    """Return `new` if it may follow `old` or equals it, else raise ValueError."""
    if new is not old and new not in TRANSITIONS[old]:
        raise ValueError(f"an inference server that is {old} cannot become {new}")
    return new
