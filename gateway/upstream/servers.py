"""The inference servers known to this process, by the model versions that they serve."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from math import inf
from time import monotonic

from gateway.errors import GatewayError
from gateway.upstream.connector import UNRESPONSIVE_SECONDS, ServerConnector
from gateway.upstream.crashes import CrashWatch
from gateway.upstream.credentials import UpstreamCredentials
from gateway.upstream.inference_stream import InferenceStreamClient
from gateway.upstream.reasons import FAILED_TO_LOAD
from protos.errors import ErrorCode

_SLOW_RATIO = 4.0
"""A replica is slow if a call takes so many times as long there as on the quickest one,"""
_SLOW_SECONDS = 0.02
"""and so long at least: queues and pauses of a few milliseconds are no reason."""
_SLOW_CALLS = 32
"""It counts as if it had so many more calls in flight."""
_CLOSE_SECONDS = 2.0
"""More than the end of a connection takes, when its calls have ended."""
_DEFAULT_BOOT_SECONDS = 5.0
"""The assumed duration of a boot until one has been measured; then that it takes as long again,"""
_MAX_GUESS_SECONDS = 60.0
"""up to this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaStatus:
    """Where one process of an inference server is, from its row in the database."""

    slot: int = 0
    address: str | None = None
    """Of its gRPC service, such as `unix:/run/iris-3.sock`."""
    tcp_address: str | None = None
    """The same for other machines: `host:port`, or `grpcs://host:port` with TLS."""
    metrics_address: str | None = None
    """Of its /metrics: `host:port`, or `https://host:port`."""
    crashed_call: str | None = None
    """The number of the call whose run has last ended a process of it."""
    is_hosted: bool = True
    """Whether a host of the installation runs it; otherwise it has registered itself."""
    host_id: str | None = None
    """The host that runs it."""

    @property
    def addresses(self) -> tuple[str, ...]:
        """Its addresses, in the order in which to try them."""
        return tuple(filter(None, (self.address, self.tcp_address)))


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStatus:
    """The status of one inference server, from its row in the database."""

    model: str
    version: int
    wanted: bool
    state: str
    asleep: bool = False
    """It has no process; the first call has it started."""
    generation: int = 1
    """Rises with each start: a server that sleeps again is to be woken again."""
    phase: str | None = None
    replicas: tuple[ReplicaStatus, ...] = (ReplicaStatus(),)
    reason: str | None = None
    started_at: datetime | None = None
    boot_seconds: float | None = None
    """The duration of its last boot."""
    restarts: int = 0
    private: bool = False
    """Whether its model is private."""
    owner_id: str | None = None
    """The profile that the model belongs to; None: the installation."""

    @property
    def hosted(self) -> int:
        """How many processes hosts run, or are to run."""
        return sum(replica.is_hosted for replica in self.replicas)

    @property
    def title(self) -> str:
        """The model version, for messages."""
        return f"{self.model} version {self.version}"

    @property
    def public_reason(self) -> str | None:
        """What all who may use the model are told of `reason`.

        Why a model has failed to load is for those who manage it: the text of the runtime describes
        the inside of their model.
        """
        return FAILED_TO_LOAD if self.state == "failed" else self.reason


ServerKey = tuple[str, int]
"""A model version."""
ReplicaKey = tuple[str, int, int]
"""A model version, and the slot of one of its replicas."""


class InferenceServers:
    """Statuses, and a connector for each replica that has an address. For one event loop.

    A call goes to the replica with the fewest calls of this process in flight; among equals, to one
    on this machine, and to the one whose last call is longest ago. One that is much slower than
    the others gets a call every few seconds, until it is as quick again.
    """

    def __init__(
        self,
        *,
        max_message_bytes: int,
        drain_seconds: float,
        call_seconds: float = 300.0,
        on_wake: Callable[[str, int], None] | None = None,
        credentials: UpstreamCredentials | None = None,
        unresponsive_seconds: float = UNRESPONSIVE_SECONDS,
        crashes: CrashWatch | None = None,
    ) -> None:
        """Start without servers. One that is silent for `unresponsive_seconds` is not ready.

        Connections that are not needed now end with their calls, at most `call_seconds` later, and
        at the end of this process `drain_seconds` later. `credentials` are for servers on other
        machines. `on_wake` is called with the model version of a sleeping server that gets a call,
        once each time that it sleeps. It is called on the event loop in the middle of the call, and
        must not block.
        """
        self._max_message_bytes = max_message_bytes
        self._drain_seconds = drain_seconds
        self._call_seconds = call_seconds
        self._on_wanted = on_wake
        self._credentials = credentials
        self._unresponsive_seconds = unresponsive_seconds
        self.crashes = CrashWatch() if crashes is None else crashes
        """What is known of calls that end processes; check it before a call is sent."""
        self._crashed_calls: dict[ReplicaKey, str | None] = {}
        self.private: Mapping[str, str | None] = {}
        """The private ones of the models that have servers → the profile they belong to."""
        self._statuses: dict[str, dict[int, ServerStatus]] = {}
        self._connectors: dict[ReplicaKey, ServerConnector] = {}
        self._replaced: dict[ReplicaKey, ServerConnector] = {}
        """Connectors to former addresses: their processes answer until the new ones do."""
        self._streams: dict[ServerKey, list[InferenceStreamClient]] = {}
        """Of the replicas that take calls; no list is empty."""
        self._current: dict[ReplicaKey, InferenceStreamClient] = {}
        """The same streams, by replica."""
        self._closing: set[asyncio.Task[None]] = set()
        self._woken: dict[ServerKey, int] = {}
        """The generation of each sleeping server that has been called already."""

    def apply(self, statuses: Iterable[ServerStatus]) -> None:
        """Replace all statuses: servers that are not listed are gone."""
        woken, self._woken = self._woken, {}
        self._statuses = {}
        private: dict[str, str | None] = {}
        addresses: dict[ReplicaKey, tuple[str, ...]] = {}
        statuses = list(statuses)
        self._note_crashes(statuses)
        for status in statuses:
            key = (status.model, status.version)
            self._statuses.setdefault(status.model, {})[status.version] = status
            if status.private:
                private[status.model] = status.owner_id
            if status.wanted:
                addresses |= {
                    (*key, replica.slot): replica.addresses
                    for replica in status.replicas
                    if replica.addresses
                }
            if status.asleep and key in woken:
                self._woken[key] = woken[key]
        self.private = private
        for replica in list(self._connectors):
            if replica not in addresses:
                self._drop(replica)
            elif addresses[replica] != self._connectors[replica].addresses:
                self._set_aside(replica)
        for replica, known in addresses.items():
            if replica not in self._connectors:
                self._connectors[replica] = self._connect(replica, known)

    async def close(self) -> None:
        """Close every connection when its calls are answered."""
        for replica in list(self._connectors):
            self._drop(replica)
        if self._closing:
            _, late = await asyncio.wait(
                self._closing, timeout=self._drain_seconds + _CLOSE_SECONDS
            )
            for closing in late:
                closing.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def stream(
        self, model: str, version: int, sequence: str | None = None
    ) -> InferenceStreamClient:
        """Return the stream to a replica of one model version's server; wake one that sleeps.

        Calls of the same `sequence` go to the same replica, whichever gateway has them, as long as
        it takes calls.

        Raises:
            GatewayError: NO_ACTIVE_INFERENCE where none is wanted; INFERENCE_SERVER_BOOTING, with
                the phase; INFERENCE_SERVER_FAILED, see `failure`; INFERENCE_SERVER_UNAVAILABLE
                while the connection is being made again.
        """
        found = self._streams.get((model, version))
        if found is None:
            self._wake_if_asleep(model, version)
            raise self._unavailable(model, version)
        if len(found) == 1:
            return found[0]
        if sequence is not None:
            return self._by_sequence(model, version, sequence)[0]
        chosen = min(found, key=_load_of(found))
        found.append(found.pop(found.index(chosen)))
        return chosen

    def wake(self, model: str, version: int) -> bool:
        """Have the server of a model version started if it is asleep; return whether it is."""
        self._wake_if_asleep(model, version)
        status = self._status(model, version)
        return status is not None and status.asleep

    def other_stream(
        self, model: str, version: int, error: GatewayError, sequence: str | None = None
    ) -> InferenceStreamClient | None:
        """Return the stream for another attempt after `error`; None: it is for the caller.

        Another replica takes what one has refused because it is ending, and so has not begun.
        """
        if error.code is ErrorCode.SHUTTING_DOWN:
            found: Sequence[InferenceStreamClient]
            if sequence is None:
                found = self._streams.get((model, version), [])
                found = sorted(found, key=_load_of(found))
            else:
                found = self._by_sequence(model, version, sequence)
            return next((each for each in found if not each.refuses), None)
        return None

    def slow_streams(self, model: str, version: int) -> int:
        """Return how many replicas are so much slower than the others that they get few calls."""
        found = self._streams.get((model, version), [])
        now = monotonic()
        slow_from = _slow_from(found, now)
        return sum(each.seconds(now) > slow_from for each in found)

    def streams(self, model: str, version: int) -> Sequence[InferenceStreamClient]:
        """Return the streams to all replicas that take calls."""
        return self._streams.get((model, version), ())

    def awake_streams(self, model: str, version: int) -> Sequence[InferenceStreamClient]:
        """Do as `streams`, for a request that needs at least one, but does not wake a server.

        Raises:
            GatewayError: as `stream`; NO_ACTIVE_INFERENCE where the server is asleep.
        """
        status = self._status(model, version)
        if status is not None and status.asleep:
            message = f"the inference server for {status.title} is asleep: a call starts it"
            raise GatewayError(ErrorCode.NO_ACTIVE_INFERENCE, message)
        self.stream(model, version)
        return self.streams(model, version)

    def choose(self, model: str) -> int:
        """Return the version for calls without one: the highest that is ready.

        Where none is ready it is the highest one that should run, so that the error names it. A
        higher version that sleeps is woken for later calls.
        """
        ready = [version for name, version in self._streams if name == model]
        known = self._statuses.get(model, {})
        if not ready:
            wanted = [each.version for each in known.values() if each.wanted or each.asleep]
            return max(wanted or known or [0])
        newest = max(ready)
        for version in known:
            if version > newest:
                self._wake_if_asleep(model, version)
        return newest

    def is_ready(self, model: str, version: int | None) -> bool:
        """Whether the model version (None: any version of the model) takes calls."""
        if version is None:
            return any(name == model for name, _ in self._streams)
        return (model, version) in self._streams

    def current_state(self, model: str, version: int, recorded: str) -> str:
        """Return the state of a server: `ready` if it answers while its row says `booting`.

        Its connection notices that first; the row follows, once the supervisor has written it.
        """
        answers = recorded == "booting" and self.is_ready(model, version)
        return "ready" if answers else recorded

    def failure(self, model: str, version: int) -> ServerStatus | None:
        """Return the status of a server that has failed, with the reason."""
        status = self._status(model, version)
        return status if status is not None and status.state == "failed" else None

    def check_active(self, model: str, version: int) -> None:
        """Raise NO_ACTIVE_INFERENCE where no server of the model version runs, or is asleep."""
        status = self._status(model, version)
        if status is None or not (status.wanted or status.asleep):
            raise _no_active_inference(model, version)

    def ready_versions(self, model: str) -> list[int]:
        """Return the versions that take calls, in order."""
        return sorted(version for name, version in self._streams if name == model)

    def statuses(self) -> list[ServerStatus]:
        """Return all statuses, by model and version."""
        return [
            versions[version]
            for _, versions in sorted(self._statuses.items())
            for version in sorted(versions)
        ]

    def exists(self, model: str, version: int) -> bool:
        """Whether there is an inference server of that model and version, in whatever state."""
        return version in self._statuses.get(model, ())

    def _note_crashes(self, statuses: Iterable[ServerStatus]) -> None:
        """Tell `crashes` of calls that have ended a process since the last statuses."""
        before, self._crashed_calls = self._crashed_calls, {}
        for status in statuses:
            for replica in status.replicas:
                key = (status.model, status.version, replica.slot)
                number = self._crashed_calls[key] = replica.crashed_call
                if number is not None and before.get(key, number) != number:
                    self.crashes.crashed(status.model, number)

    def _by_sequence(
        self, model: str, version: int, sequence: str
    ) -> Sequence[InferenceStreamClient]:
        """Return the streams to all replicas, in the order in which a sequence prefers them.

        Rendezvous hashing (Thaler and Ravishankar, 1998): every gateway finds the same order, and a
        replica that comes or goes moves the sequences of no other.
        """
        status = self._status(model, version)
        found = [
            (_takes_calls(stream), _weight(sequence, replica.slot), stream)
            for replica in (status.replicas if status else ())
            if (stream := self._current.get((model, version, replica.slot)))
        ]
        found.sort(key=lambda each: each[:2], reverse=True)
        return [stream for *_, stream in found]

    def _connect(self, replica: ReplicaKey, addresses: tuple[str, ...]) -> ServerConnector:
        model, version, _ = replica

        def changed() -> None:
            is_over = self._replaced.get(replica) is connector and connector.stream is None
            is_successor = self._connectors.get(replica) is connector and connector.stream
            if is_over or is_successor:
                self._forget_replaced(replica)
            self._use(replica, self._stream_of(replica))

        connector = ServerConnector(
            model,
            version,
            *addresses,
            max_message_bytes=self._max_message_bytes,
            on_change=changed,
            credentials=self._credentials,
            unresponsive_seconds=self._unresponsive_seconds,
            on_lost=self.crashes.lost,
        )
        return connector

    def _stream_of(self, replica: ReplicaKey) -> InferenceStreamClient | None:
        """Return the stream to a replica: to its former address, if it has no other one yet."""
        for connectors in (self._connectors, self._replaced):
            connector = connectors.get(replica)
            if connector is not None and connector.stream is not None:
                return connector.stream
        return None

    def _use(self, replica: ReplicaKey, stream: InferenceStreamClient | None) -> None:
        """Have calls go to `stream` of a replica; None: to none."""
        model, version, _ = replica
        old = self._current.pop(replica, None)
        streams = [one for one in self.streams(model, version) if one is not old]
        if stream is not None:
            self._current[replica] = stream
            streams.append(stream)
        if streams:
            self._streams[model, version] = streams
        else:
            self._streams.pop((model, version), None)

    def _set_aside(self, replica: ReplicaKey) -> None:
        """Go on with a connection to a former address until there is one to the new address."""
        connector = self._connectors[replica]
        if connector.stream is None:
            if replica in self._replaced:  # the successor has been replaced before it was reached
                self._close(self._connectors.pop(replica))
            else:
                self._drop(replica)
            return
        self._forget_replaced(replica)
        self._replaced[replica] = self._connectors.pop(replica)

    def _forget_replaced(self, replica: ReplicaKey) -> None:
        connector = self._replaced.pop(replica, None)
        if connector is not None:
            self._close(connector)

    def _drop(self, replica: ReplicaKey) -> None:
        self._use(replica, None)
        self._forget_replaced(replica)
        self._close(self._connectors.pop(replica))

    def _close(self, connector: ServerConnector) -> None:
        task = asyncio.create_task(connector.close(self._call_seconds))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _status(self, model: str, version: int) -> ServerStatus | None:
        return self._statuses.get(model, {}).get(version)

    def _wake_if_asleep(self, model: str, version: int) -> None:
        """Have a server started if it is asleep, once each time that it sleeps."""
        status = self._status(model, version)
        if status is None or not status.asleep or self._on_wanted is None:
            return
        key = (model, version)
        if self._woken.get(key) != status.generation:
            self._woken[key] = status.generation
            self._on_wanted(model, version)

    def _unavailable(self, model: str, version: int) -> GatewayError:
        status = self._status(model, version)
        if status is not None and status.asleep:
            return _booting(status)
        if status is None or not status.wanted:
            return _no_active_inference(model, version)
        if status.state == "failed":
            message = (
                f"the inference server for {status.title} failed: {FAILED_TO_LOAD}. Its owner and "
                "administrators are shown why"
            )
            return GatewayError(ErrorCode.INFERENCE_SERVER_FAILED, message, retry_after=30)
        if status.state == "unresponsive":
            message = f"the inference server for {status.title} is being replaced: {status.reason}"
        elif not status.replicas:  # those that served it had registered themselves
            message = (
                f"no inference server for {status.title} is left: start one that registers, or "
                f"`slipstream models serve {status.model} --version {status.version}`"
            )
        elif status.state == "stopped" and status.reason:
            message = f"the inference server for {status.title} has no process: {status.reason}"
        elif status.state in {"booting", "stopped"}:
            return _booting(status)
        else:
            message = f"the inference server for {status.title} is being connected"
        return GatewayError(ErrorCode.INFERENCE_SERVER_UNAVAILABLE, message, retry_after=1)


def _weight(sequence: str, slot: int) -> bytes:
    return blake2b(f"{slot}/{sequence}".encode(), digest_size=8).digest()


def _takes_calls(stream: InferenceStreamClient) -> bool:
    return not (stream.refuses or stream.ended.is_set())


def _slow_from(streams: Sequence[InferenceStreamClient], now: float) -> float:
    """Return what a call takes at least on a replica that counts as slow, beside the others."""
    known = [seconds for each in streams if (seconds := each.seconds(now))]
    return max(_SLOW_RATIO * min(known), _SLOW_SECONDS) if len(known) > 1 else inf


def _load_of(
    streams: Sequence[InferenceStreamClient],
) -> Callable[[InferenceStreamClient], tuple[bool, int, bool]]:
    """Return what speaks against a replica, what matters most first, as of now."""
    now = monotonic()
    slow_from = _slow_from(streams, now)

    def load(stream: InferenceStreamClient) -> tuple[bool, int, bool]:
        more = _SLOW_CALLS if stream.seconds(now) > slow_from else 0
        return not _takes_calls(stream), stream.in_flight + more, not stream.is_local

    return load


def _no_active_inference(model: str, version: int) -> GatewayError:
    title = f"{model} version {version}" if version else f"the model '{model}'"
    option = f" --version {version}" if version else ""
    message = (
        f"no inference server is active for {title}: start one with "
        f"`slipstream models serve {model}{option}` or POST /node/inference-servers/"
    )
    return GatewayError(ErrorCode.NO_ACTIVE_INFERENCE, message)


def _booting(status: ServerStatus) -> GatewayError:
    phase = status.phase or "spawning"
    elapsed = 0.0
    if status.started_at is not None and status.state == "booting":  # else it was another start
        elapsed = max(0.0, (datetime.now(UTC) - status.started_at).total_seconds())
    usual = status.boot_seconds
    expected = f", usually {usual:.1f} s" if usual else ""
    again = min(elapsed, _MAX_GUESS_SECONDS)  # `elapsed` is wrong where clocks differ
    left = max(1.0, usual - elapsed if usual else max(_DEFAULT_BOOT_SECONDS - elapsed, again))
    message = (
        f"the inference server for {status.title} is booting (phase {phase}, "
        f"{elapsed:.1f} s elapsed{expected}): retry after {left:.0f} s"
    )
    return GatewayError(
        ErrorCode.INFERENCE_SERVER_BOOTING,
        message,
        retry_after=left,
        details={"phase": phase, "elapsed_seconds": round(elapsed, 3)},
    )
