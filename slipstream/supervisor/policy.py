"""What to do next: a pure function of what is wanted, what is held, and the time.

Level-triggered: it sees whole states, never events, so a missed change is made good at the next
look, and asking twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

FIRST_DELAY = 0.1
"""Seconds before the first restart."""
LAST_DELAY = 10.0
"""Seconds that a delay, doubled with each crash in a row, never exceeds."""
STEADY_SECONDS = 30.0
"""Whoever ran this long has recovered: its next crash counts as the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One process that the supervisor holds, or the memory of one that died."""

    generation: int
    """The generation of the wish that it was started for."""
    alive: bool = True
    failed: bool = False
    """It lives, and has said that it will never be ready."""
    stopping: bool = False
    """It was told to go."""
    resting: bool = False
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
    wanted: Mapping[str, int], held: Mapping[str, Held], now: float
) -> tuple[Action, ...]:
    """Return what brings `held` nearer to `wanted` (key → generation), at most one act per key.

    A failed process stays, to answer with its reason, until its key is no longer wanted or is
    wanted anew with a higher generation. One that rests is not started for a wish that it has had
    already.
    """
    actions: list[Action] = []
    for key, generation in wanted.items():
        have = held.get(key)
        if have is None or _may_start(have, generation, now):
            actions.append(Start(key))
        elif have.failed and generation > have.generation and not have.stopping:
            actions.append(Stop(key))
    for key, have in held.items():
        if key in wanted:
            continue
        if not have.alive:
            actions.append(Forget(key))
        elif not have.stopping:
            actions.append(Stop(key))
    return tuple(actions)


def next_look(wanted: Mapping[str, int], held: Mapping[str, Held]) -> float | None:
    """Return when the earliest restart is due; None where only an event can change anything."""
    due = [
        have.retry_at
        for key, have in held.items()
        if key in wanted and not have.alive and not have.resting
    ]
    return min(due, default=None)


def after_exit(held: Held, *, ran_for: float, now: float) -> Held:
    """Return what is remembered of a process that has ended after `ran_for` seconds."""
    if held.stopping:
        return replace(held, alive=False, failed=False, stopping=False, crashes=0, retry_at=now)
    crashes = 1 if ran_for >= STEADY_SECONDS else held.crashes + 1
    return replace(
        held, alive=False, failed=False, crashes=crashes, retry_at=now + restart_delay(crashes)
    )


def after_rest(held: Held, *, wanted: int | None) -> Held:
    """Return what is remembered of a process that has ended because nobody needed it.

    It has been there for all the wishes until then, the newest of generation `wanted`.
    """
    generation = max(held.generation, wanted or 0)
    return Held(generation=generation, alive=False, resting=True)


def restart_delay(crashes: int) -> float:
    """Return the seconds to wait before the restart that follows the given crash in a row."""
    return min(LAST_DELAY, FIRST_DELAY * 2.0 ** min(crashes - 1, 30))


def _may_start(have: Held, generation: int, now: float) -> bool:
    if have.alive:
        return False
    due = now >= have.retry_at and not have.resting
    return due or generation > have.generation
