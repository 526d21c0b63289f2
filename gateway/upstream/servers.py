"""The inference servers known to this process, by the model versions that they serve."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from gateway.errors import GatewayError
from gateway.upstream.connector import UNRESPONSIVE_SECONDS, ServerConnector
from gateway.upstream.credentials import UpstreamCredentials
from gateway.upstream.inference_stream import InferenceStreamClient
from protos.errors import ErrorCode

_DEFAULT_BOOT_SECONDS = 5.0
"""The assumed duration of a boot until one has been measured."""


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
    address: str | None = None
    """Of its gRPC service, such as `unix:/run/iris-3.sock`."""
    tcp_address: str | None = None
    """The same for other machines: `host:port`, or `grpcs://host:port` with TLS."""
    metrics_address: str | None = None
    """Of its /metrics: `host:port`, or `https://host:port`."""
    reason: str | None = None
    started_at: datetime | None = None
    boot_seconds: float | None = None
    """The duration of its last boot."""
    restarts: int = 0
    private: bool = False
    """Whether its model is private."""
    owner_id: str | None = None
    """The profile that a private model belongs to; None: the installation."""

    @property
    def title(self) -> str:
        """The model version, for messages."""
        return f"{self.model} version {self.version}"

    @property
    def addresses(self) -> tuple[str, ...]:
        """Its addresses, in the order in which to try them."""
        return tuple(filter(None, (self.address, self.tcp_address)))


class InferenceServers:
    """Statuses, and a Link for each server that has an address. For one event loop."""

    def __init__(
        self,
        *,
        max_message_bytes: int,
        drain_seconds: float,
        on_wake: Callable[[str, int], None] | None = None,
        credentials: UpstreamCredentials | None = None,
        unresponsive_seconds: float = UNRESPONSIVE_SECONDS,
    ) -> None:
        """Start without servers. One that is silent for `unresponsive_seconds` is not ready.

        `credentials` are for servers on other machines. `on_wake` is called with the model version
        of a sleeping server that gets a call, once each time that it sleeps. It is called on the
        event loop in the middle of the call, and must not block.
        """
        self._max_message_bytes = max_message_bytes
        self._drain_seconds = drain_seconds
        self._on_wanted = on_wake
        self._credentials = credentials
        self._unresponsive_seconds = unresponsive_seconds
        self.private: Mapping[str, str | None] = {}
        """The private ones of the models that have servers → the profile they belong to."""
        self._statuses: dict[str, dict[int, ServerStatus]] = {}
        self._connectors: dict[tuple[str, int], ServerConnector] = {}
        self._replaced: dict[tuple[str, int], ServerConnector] = {}
        """Connectors to former addresses: their servers answer until the new ones do."""
        self._streams: dict[tuple[str, int], InferenceStreamClient] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._woken: dict[tuple[str, int], int] = {}
        """The generation of each sleeping server that has been called already."""

    def apply(self, statuses: Iterable[ServerStatus]) -> None:
        """Replace all statuses: servers that are not listed are gone."""
        woken, self._woken = self._woken, {}
        self._statuses = {}
        private: dict[str, str | None] = {}
        addresses: dict[tuple[str, int], tuple[str, ...]] = {}
        for status in statuses:
            key = (status.model, status.version)
            self._statuses.setdefault(status.model, {})[status.version] = status
            if status.private:
                private[status.model] = status.owner_id
            if status.wanted and status.addresses:
                addresses[key] = status.addresses
            if status.asleep and key in woken:
                self._woken[key] = woken[key]
        self.private = private
        for key in list(self._connectors):
            if key not in addresses:
                self._drop(key)
            elif addresses[key] != self._connectors[key].addresses:
                self._set_aside(key)
        for key, known in addresses.items():
            if key not in self._connectors:
                self._connectors[key] = self._connect(*key, known)

    async def close(self) -> None:
        """Close every connection when its calls are answered."""
        for key in list(self._connectors):
            self._drop(key)
        await asyncio.gather(*self._closing)

    def stream(self, model: str, version: int) -> InferenceStreamClient:
        """Return the stream to the server of one model version; wake one that sleeps.

        Raises:
            GatewayError: NO_ACTIVE_INFERENCE where none is wanted; INFERENCE_SERVER_BOOTING, with
                the phase; INFERENCE_SERVER_FAILED, with the reason; INFERENCE_SERVER_UNAVAILABLE
                while the connection is being made again.
        """
        found = self._streams.get((model, version))
        if found is None:
            self._wake_if_asleep(model, version)
            raise self._unavailable(model, version)
        return found

    def awake_stream(self, model: str, version: int) -> InferenceStreamClient:
        """Do as `stream`, for a request that does not wake a sleeping server.

        Raises:
            GatewayError: as `stream`; NO_ACTIVE_INFERENCE where the server is asleep.
        """
        status = self._status(model, version)
        if status is not None and status.asleep:
            message = f"the inference server for {status.title} is asleep: a call starts it"
            raise GatewayError(ErrorCode.NO_ACTIVE_INFERENCE, message)
        return self.stream(model, version)

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

    def _connect(self, model: str, version: int, addresses: tuple[str, ...]) -> ServerConnector:
        key = (model, version)

        def changed() -> None:
            if self._replaced.get(key) is connector and connector.stream is None:
                self._forget_replaced(key)
                self._streams.pop(key, None)
            if self._connectors.get(key) is not connector:
                return  # dropped and draining: the key may be another connector's by now
            if connector.stream is not None:
                self._streams[key] = connector.stream
                self._forget_replaced(key)
            elif key not in self._replaced:
                self._streams.pop(key, None)

        connector = ServerConnector(
            model,
            version,
            *addresses,
            max_message_bytes=self._max_message_bytes,
            on_change=changed,
            credentials=self._credentials,
            unresponsive_seconds=self._unresponsive_seconds,
        )
        return connector

    def _set_aside(self, key: tuple[str, int]) -> None:
        """Go on with a connection to a former address until there is one to the new address."""
        connector = self._connectors[key]
        if connector.stream is None:
            if key in self._replaced:  # the successor has been replaced before it was reached
                self._close(self._connectors.pop(key))
            else:
                self._drop(key)
            return
        self._forget_replaced(key)
        self._replaced[key] = self._connectors.pop(key)

    def _forget_replaced(self, key: tuple[str, int]) -> None:
        connector = self._replaced.pop(key, None)
        if connector is not None:
            self._close(connector)

    def _drop(self, key: tuple[str, int]) -> None:
        self._streams.pop(key, None)
        self._forget_replaced(key)
        self._close(self._connectors.pop(key))

    def _close(self, connector: ServerConnector) -> None:
        task = asyncio.create_task(connector.close(self._drain_seconds))
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
            message = f"the inference server for {status.title} failed: {status.reason}"
            return GatewayError(ErrorCode.INFERENCE_SERVER_FAILED, message, retry_after=30)
        if status.state == "unresponsive":
            message = f"the inference server for {status.title} is being replaced: {status.reason}"
            return GatewayError(ErrorCode.INFERENCE_SERVER_UNAVAILABLE, message, retry_after=1)
        if status.state in {"booting", "stopped"}:
            return _booting(status)
        message = f"the inference server for {status.title} is being connected"
        return GatewayError(ErrorCode.INFERENCE_SERVER_UNAVAILABLE, message, retry_after=1)


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
    left = max(1.0, (usual or max(_DEFAULT_BOOT_SECONDS, 2 * elapsed)) - elapsed)
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
