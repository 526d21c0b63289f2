"""What to do next: a pure function of what is wanted, what is held, and the time.

Level-triggered: it sees whole states, never events, so a missed change is made good at the next
look, and asking twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

MIN_DELAY_SECONDS = 0.1
"""Seconds before the first restart."""
MAX_DELAY_SECONDS = 10.0
"""Seconds that a delay, doubled with each crash in a row, never exceeds."""
STABLE_SECONDS = 30.0
"""Whoever ran this long has recovered: its next crash counts as the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessState:
    """One process that the supervisor holds, or the memory of one that died."""

    generation: int
    """The generation of the wish that it was started for."""
    alive: bool = True
    failed: bool = False
    """It lives, and has said that it will never be ready."""
    stopping: bool = False
    """It was told to go."""
    idle: bool = False
    """It has ended because nobody needed it: it is started when it is wanted anew."""
    crashes: int = 0
    """Exits in a row that nobody had asked for."""
    retry_at: float = 0.0
    """When a dead one may be started again, on the clock of `now`."""


@dataclass(frozen=True, slots=True)
class Start:
    """Start a process for `key`."""

    key: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Tell the process of `key` to finish and go."""

    key: str


@dataclass(frozen=True, slots=True)
class Forget:
    """Nothing runs for `key` and nothing should: drop what is remembered of it."""

    key: str


Action = Start | Stop | Forget


def reconcile(
    desired: Mapping[str, int], states: Mapping[str, ProcessState], now: float
) -> tuple[Action, ...]:
    """Return what brings `states` nearer to `desired` (key → generation), at most one act per key.

    A failed process stays, to answer with its reason, until its key is no longer wanted or is
    wanted anew with a higher generation. One that rests is not started for a wish that it has had
    already.
    """
    actions: list[Action] = []
    for key, generation in desired.items():
        state = states.get(key)
        if state is None or _may_start(state, generation, now):
            actions.append(Start(key))
        elif state.failed and generation > state.generation and not state.stopping:
            actions.append(Stop(key))
    for key, state in states.items():
        if key in desired:
            continue
        if not state.alive:
            actions.append(Forget(key))
        elif not state.stopping:
            actions.append(Stop(key))
    return tuple(actions)


def next_restart_at(desired: Mapping[str, int], states: Mapping[str, ProcessState]) -> float | None:
    """Return when the earliest restart is due; None where only an event can change anything."""
    due = [
        state.retry_at
        for key, state in states.items()
        if key in desired and not state.alive and not state.idle
    ]
    return min(due, default=None)


def after_exit(states: ProcessState, *, ran_for: float, now: float) -> ProcessState:
    """Return what is remembered of a process that has ended after `ran_for` seconds."""
    if states.stopping:
        return replace(states, alive=False, failed=False, stopping=False, crashes=0, retry_at=now)
    crashes = 1 if ran_for >= STABLE_SECONDS else states.crashes + 1
    return replace(
        states, alive=False, failed=False, crashes=crashes, retry_at=now + restart_delay(crashes)
    )


def after_idle_exit(states: ProcessState, *, desired: int | None) -> ProcessState:
    """Return what is remembered of a process that has ended because nobody needed it.

    It has been there for all the wishes until then, the newest of generation `desired`.
    """
    generation = max(states.generation, desired or 0)
    return ProcessState(generation=generation, alive=False, idle=True)


def restart_delay(crashes: int) -> float:
    """Return the seconds to wait before the restart that follows the given crash in a row."""
    return min(MAX_DELAY_SECONDS, MIN_DELAY_SECONDS * 2.0 ** min(crashes - 1, 30))


def _may_start(state: ProcessState, generation: int, now: float) -> bool:
    if state.alive:
        return False
    due = now >= state.retry_at and not state.idle
    return due or generation > state.generation
