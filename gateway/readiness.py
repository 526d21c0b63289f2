"""Whether the gateway is ready for calls, and if not, why."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from gateway.upstream.reasons import FAILED_TO_LOAD
from gateway.upstream.servers import InferenceServers, ServerStatus

Key = tuple[str, int]


_DATABASE = "database: it does not answer"


class Readiness:
    """Ready once the database answers and the inference servers of the startup have settled.

    From then on a database that does not answer makes the gateway degraded: it is away for all
    gateways at once, usually, and what is in memory is enough for calls of mode fast.

    A server has settled when it has been ready, has failed, or should no longer run. A model that
    fails, or is loaded, reloaded or lost later, changes only its own readiness, so that other calls
    are not affected; it is listed as degraded.

    Nothing here queries the database: probes may be frequent.

    Args:
        database_answers: whether it does, as far as is known.
        broker_connected: likewise.
        disk_problem: returns what is wrong with the database's disk; None: nothing.
        unrecorded_runs: why fast calls have left no run lately.
    """

    def __init__(
        self,
        servers: InferenceServers,
        *,
        database_answers: Callable[[], bool],
        broker_connected: Callable[[], bool],
        disk_problem: Callable[[], str | None],
        unrecorded_runs: Callable[[], Sequence[str]],
    ) -> None:
        self._servers = servers
        self._database_answers = database_answers
        self._broker_connected = broker_connected
        self._disk_problem = disk_problem
        self._unrecorded_runs = unrecorded_runs
        self._unsettled: set[Key] | None = None
        self._has_been_ready = False

    def servers_known(self, *, has_hosts: bool) -> None:
        """Note which servers should run now, at startup, and are for hosts to start, if any."""
        wanted = self._wanted().items()
        self._unsettled = {key for key, status in wanted if status.hosted and has_hosts}

    def reasons(self) -> Sequence[str]:
        """Return why the gateway is not ready; empty: it is."""
        if self._has_been_ready:
            return []
        reasons = [] if self._database_answers() else [_DATABASE]
        reasons.extend(self._starting())
        self._has_been_ready = not reasons
        return reasons

    def _starting(self) -> Sequence[str]:
        if self._unsettled is None:
            return ["starting: the inference servers are not known yet"]
        if not self._unsettled:
            return []
        statuses = self._wanted()
        self._unsettled = {key for key in self._unsettled if self._is_booting(statuses, key)}
        return [_text(statuses[key]) for key in sorted(self._unsettled)]

    def degraded(self) -> Sequence[str]:
        """Return what does not work, beside `reasons`, and keeps no other call from working."""
        holding = self._unsettled or set()
        degraded = [_DATABASE] if self._has_been_ready and not self._database_answers() else []
        degraded.extend(
            _text(status)
            for key, status in sorted(self._wanted().items())
            if key not in holding and not self._servers.is_ready(*key)
        )
        if not self._broker_connected():
            degraded.append("broker: not connected, runs of type api wait for it")
        problem = self._disk_problem()
        if problem is not None:
            degraded.append(f"database: {problem}")
        return [*degraded, *self._unrecorded_runs()]

    def _wanted(self) -> dict[Key, ServerStatus]:
        return {_key(status): status for status in self._servers.statuses() if status.wanted}

    def _is_booting(self, statuses: Mapping[Key, ServerStatus], key: Key) -> bool:
        status = statuses.get(key)
        return status is not None and status.state != "failed" and not self._servers.is_ready(*key)


def _key(status: ServerStatus) -> Key:
    return status.model, status.version


def _text(status: ServerStatus) -> str:
    if status.private:  # probes need no key, and reasons quote names
        return f"inference server of a private model: {status.state}"
    return f"inference server {status.title}: {_reason(status)}"


def _reason(status: ServerStatus) -> str:
    match status.state:
        case "failed":
            return f"failed: {FAILED_TO_LOAD}"
        case "ready":
            return "being connected"
        case _:
            return status.phase or status.state
