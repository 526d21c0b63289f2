"""How many calls the replicas of this host have, by their heartbeats."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from math import isfinite
from time import monotonic
from typing import NamedTuple

from gateway.fleet.store import Measured
from gateway.storage.tables import InferenceServer
from slipstream.supervisor.status_reader import StatusLine

_WINDOW_SECONDS = 5.0
"""Over which the load is averaged."""
_STEADY = 3
"""So many heartbeats in a row count calls that take longer than the window."""
_CHANGE = 0.05
"""Smaller changes of the load, as a part of it or of half a call, are not worth a write."""
_FIRST_CALL_SECONDS = 90.0
"""A server that was woken waits so long for its first call, whatever its idle timeout is: the
client that woke it was told to try again."""
_QUIET_PART = 4
"""A replica is idle after this part of its idle timeout: pauses between calls are no news."""


class _Heartbeat(NamedTuple):
    """What one says of the calls, see `ServedModel`."""

    at: float
    """By the machine's `monotonic`, when it was sent: several may be read at once."""
    answered: float
    outstanding: float
    call_seconds: float


class ReplicaLoad:
    """The calls of one process."""

    def __init__(self, *, now: float) -> None:
        self._heartbeats: deque[_Heartbeat] = deque()
        self._called_at = now
        self._was_called = False
        self._generation = 0
        self._written: tuple[float, bool] | None = None
        """The load, and whether it was idle."""
        self._written_at = 0.0

    def heard(self, line: StatusLine) -> None:
        """Take a heartbeat. One of an older release says nothing of the calls.

        Raises:
            KeyError, TypeError, ValueError: a field is missing, or is no number.
        """
        if "call_seconds" not in line:
            return
        beat = _Heartbeat(*(float(line[name]) for name in _Heartbeat._fields))
        if not all(map(isfinite, beat)):
            raise ValueError(f"expected finite numbers, got {line}")
        now = beat.at
        last = self._heartbeats[-1] if self._heartbeats else None
        if beat.outstanding or (last and beat.answered != last.answered):
            self._called_at, self._was_called = now, True
        self._heartbeats.append(beat)
        while len(self._heartbeats) > 1 and self._heartbeats[1].at <= now - _WINDOW_SECONDS:
            self._heartbeats.popleft()

    @property
    def is_busy(self) -> bool:
        """Whether calls waited or ran at the last heartbeat."""
        return bool(self._heartbeats) and self._heartbeats[-1].outstanding > 0

    @property
    def is_called_again(self) -> bool:
        """Whether it was written to be idle, and has had a call since."""
        return self._written is not None and self._written[1] and self._called_at > self._written_at

    @property
    def load(self) -> float:
        """How many calls waited or ran on average."""
        beats = self._heartbeats
        if len(beats) < _STEADY:
            return 0.0
        elapsed = beats[-1].at - beats[0].at
        if elapsed <= 0:
            return 0.0
        average = (beats[-1].call_seconds - beats[0].call_seconds) / elapsed
        steady = min(beat.outstanding for beat in list(beats)[-_STEADY:])
        return max(average, steady)

    def news(self, replica_id: str, server: InferenceServer, now: float) -> Measured | None:
        """Return what is to be written of the replica; None if that has hardly changed."""
        if self._generation not in (0, server.generation):  # it was woken while it still ran
            self._written = None
            self._called_at, self._was_called = now, False
        self._generation = server.generation
        quiet = self._quiet_seconds(server.idle_seconds, now)
        load = round(self.load, 2)
        if self._written is not None:
            before, was_quiet = self._written
            changed = abs(load - before) > _CHANGE * max(0.5, before)
            if not changed and was_quiet == (quiet is not None):
                return None
        self._written, self._written_at = (load, quiet is not None), now
        return Measured(replica_id=replica_id, load=load, quiet_seconds=quiet)

    def may_sleep(self, idle_timeout: int | None, now: float) -> bool:
        """Whether there was no call for `idle_timeout` seconds."""
        quiet = self._quiet_seconds(idle_timeout, now)
        return idle_timeout is not None and quiet is not None and quiet >= idle_timeout

    def _quiet_seconds(self, idle_timeout: int | None, now: float) -> float | None:
        if idle_timeout is None or not self._heartbeats:
            return None
        quiet = now - self._called_at
        if not self._was_called:
            quiet -= max(0.0, _FIRST_CALL_SECONDS - idle_timeout)
        return quiet if quiet >= idle_timeout / _QUIET_PART else None


class Loads:
    """The calls of all replicas of this host."""

    def __init__(self) -> None:
        self._replicas: dict[str, ReplicaLoad] = {}

    def ready(self, key: str) -> None:
        """A process answers calls from now on."""
        self._replicas[key] = ReplicaLoad(now=monotonic())

    def heard(self, key: str, line: StatusLine) -> None:
        """Take a heartbeat of a process; one that a predecessor has started is ready already."""
        load = self._replicas.get(key)
        if load is not None:
            load.heard(line)

    def may_sleep(self, key: str, server: InferenceServer) -> bool:
        """Whether a process has had no call for the idle timeout of its server, or is not ready."""
        load = self._replicas.get(key)
        if load is None:
            return server.sleeps
        return load.may_sleep(server.idle_seconds, monotonic())

    def is_busy(self, key: str) -> bool:
        """Whether a process had calls when it was heard last."""
        load = self._replicas.get(key)
        return load is not None and load.is_busy

    def forget(self, key: str) -> None:
        """A process has ended."""
        self._replicas.pop(key, None)

    def news(self, servers: Mapping[str, InferenceServer], *, only_calls: bool) -> list[Measured]:
        """Return what is to be written of the replicas of `servers`, which are by replica.

        With `only_calls`, only that some are no longer idle: these must not be put to sleep.
        """
        now = monotonic()
        found = [
            load.news(key, servers[key], now)
            for key, load in self._replicas.items()
            if key in servers
            and (servers[key].scales or servers[key].sleeps)
            and (load.is_called_again or not only_calls)
        ]
        return [measured for measured in found if measured is not None]
