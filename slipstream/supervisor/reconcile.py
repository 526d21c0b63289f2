"""Decides what to start and stop: a pure function of desired and actual state, and the time.

Level-triggered: it compares whole states instead of reacting to events, so a missed change is
corrected by the next call, and a repeated call changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

MIN_DELAY_SECONDS = 0.1
"""Seconds before the first restart."""
MAX_DELAY_SECONDS = 5.0
"""The maximum of the delay, which doubles with each consecutive crash. Work that only this process
does waits that long, and for its start, even if it is killed over and over."""
FAILED_DELAY_SECONDS = 30.0
"""Seconds before the restart of a process that has ended after it had reported a failure."""
MAX_FAILED_DELAY_SECONDS = 600.0
"""The maximum of that delay, which doubles likewise."""
STABLE_SECONDS = 10.0
"""After running this long a process has recovered: its next crash counts as the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessState:
    """A process of a key: one that runs, or what is remembered of one that has ended."""

    generation: int
    """The desired generation that it was started for."""
    alive: bool = True
    failed: bool = False
    """It runs, and has reported that it will never be ready."""
    stopping: bool = False
    """It was told to stop."""
    idle: bool = False
    """It has ended because it was idle; a higher generation starts it again."""
    crashes: int = 0
    """Consecutive exits that were not requested."""
    retry_at: float = 0.0
    """When it may be started again, on the clock of `now`."""


@dataclass(frozen=True, slots=True)
class Start:
    """Start a process for `key`."""

    key: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Tell the process of `key` to finish and exit."""

    key: str


@dataclass(frozen=True, slots=True)
class Forget:
    """Drop the state of `key`: nothing runs for it, and nothing should."""

    key: str


Action = Start | Stop | Forget


def reconcile(
    desired: Mapping[str, int], states: Mapping[str, ProcessState], now: float
) -> tuple[Action, ...]:
    """Return what moves `states` towards `desired` (key → generation), at most one action per key.

    A failed process stays, to answer with its reason, until its key is no longer desired or has a
    higher generation. One that has ended because it was idle starts again for a higher generation
    only.
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
    """Return when the earliest restart is due, or None."""
    due = [
        state.retry_at
        for key, state in states.items()
        if key in desired and not state.alive and not state.idle
    ]
    return min(due, default=None)


def after_exit(state: ProcessState, *, ran_for: float, now: float) -> ProcessState:
    """Return the state after a process has ended that ran for `ran_for` seconds."""
    if state.stopping:
        return replace(state, alive=False, failed=False, stopping=False, crashes=0, retry_at=now)
    recovered = ran_for >= STABLE_SECONDS and not state.failed
    crashes = 1 if recovered else state.crashes + 1
    delay = restart_delay(crashes, failed=state.failed)
    return replace(state, alive=False, failed=False, crashes=crashes, retry_at=now + delay)


def after_idle_exit(state: ProcessState, *, desired: int | None) -> ProcessState:
    """Return the state after a process has ended because it was idle.

    It has served all generations until then; `desired` is the newest.
    """
    generation = max(state.generation, desired or 0)
    return ProcessState(generation=generation, alive=False, idle=True)


def restart_delay(crashes: int, *, failed: bool = False) -> float:
    """Return the seconds to wait before the restart after so many consecutive crashes.

    Longer after a reported failure: the next attempt is likely to fail, too, and may take minutes.
    """
    shortest, longest = MIN_DELAY_SECONDS, MAX_DELAY_SECONDS
    if failed:
        shortest, longest = FAILED_DELAY_SECONDS, MAX_FAILED_DELAY_SECONDS
    return min(longest, shortest * 2.0 ** min(crashes - 1, 30))


def _may_start(state: ProcessState, generation: int, now: float) -> bool:
    if state.alive:
        return False
    due = now >= state.retry_at and not state.idle
    return due or generation > state.generation
