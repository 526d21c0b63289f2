"""What the clients of a gateway process hold of it before a request is complete.

Connections are counted by the peer's address. Bodies that are still arriving are counted by the
client's address, which behind a trusted proxy is the one that it forwards, and their bytes share
one budget. A request that arrives in one read is never counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from time import monotonic
from typing import Protocol

from gateway.auth.proxies import TrustedProxies
from gateway.errors import GatewayError
from gateway.limits.client_subnet import client_subnet
from protos.errors import ErrorCode

UNCOUNTED_BODY_BYTES = 64 * 1024
"""The first bytes of each body take nothing from the budget."""
_SAFE_SECONDS = 10.0
"""A body that began to arrive more recently is not ended for another one."""
_RETRY_SECONDS = 2.0

ADDRESS_BODIES, ADDRESS_CONNECTIONS = "address_bodies", "address_connections"
BODY_MEMORY, CONNECTIONS = "body_memory", "connections"
"""Reasons of refusals, as the metrics name them."""


class BodyReceiver(Protocol):
    """The connection that a body arrives on."""

    def give_up(self, error: GatewayError) -> None:
        """End the request with this error, and read no more of it."""


class UnfinishedBody:
    """A body of which a part has arrived."""

    __slots__ = ("address", "buffered", "counted", "receiver", "since")

    def __init__(self, receiver: BodyReceiver, address: str, since: float) -> None:
        self.receiver = receiver
        self.address = address
        """What it is counted by; empty: not at all."""
        self.since = since
        self.buffered = True
        """Whether its bytes stay in memory."""
        self.counted = 0
        """Its bytes in the budget."""


class UnfinishedBodies:
    """The bodies that are arriving at one gateway process. For one event loop.

    Memory: every body has its first 64 KiB for free, so that usual requests always pass, whatever
    others hold. What exceeds that counts in one budget. If the budget is used up, the oldest large
    body is ended for a new one, but only when it has been arriving for ten seconds: a client that
    holds a body back loses it as soon as others need the memory, and one that sends at a usual
    speed is finished before. If none is that old, the new one is refused: ending bodies at once
    would leave none complete when many clients send at the same time.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self.used = 0
        """Bytes of the budget in use."""
        self._clock = clock
        self._by_address: Counter[str] = Counter()
        self._large: dict[UnfinishedBody, None] = {}  # in the order in which they became large

    def add(self, receiver: BodyReceiver, address: str, max_per_address: int) -> UnfinishedBody:
        """Count a body; an empty `address` has no limit.

        Raises:
            GatewayError: OVERLOADED, the address has as many already.
        """
        if address:
            count = self._by_address.get(address, 0)
            if count >= max_per_address:
                message = (
                    f"this address has {max_per_address} requests whose bodies are still arriving, "
                    "as many as it may: finish those first"
                )
                raise GatewayError(ErrorCode.OVERLOADED, message, retry_after=_RETRY_SECONDS)
            self._by_address[address] = count + 1
        return UnfinishedBody(receiver, address, self._clock())

    def resize(self, body: UnfinishedBody, received: int, max_bytes: int) -> None:
        """Count that `received` bytes of a body have arrived; may end the oldest large one.

        Raises:
            GatewayError: BODY_MEMORY_EXHAUSTED, this body is the one to be ended.
        """
        if not body.buffered:
            return
        more = max(0, received - UNCOUNTED_BODY_BYTES) - body.counted
        while more and self.used + more > max_bytes:
            oldest = next(iter(self._large), None)
            if oldest is None or oldest is body or self._clock() - oldest.since < _SAFE_SECONDS:
                raise _exhausted(max_bytes)
            self._release(oldest)
            oldest.receiver.give_up(_exhausted(max_bytes))
        if more:
            self._large[body] = None
            body.counted += more
            self.used += more

    def stream(self, body: UnfinishedBody) -> None:
        """Take a body out of the budget: its bytes are written to disk as they arrive."""
        self._release(body)
        body.buffered = False

    def remove(self, body: UnfinishedBody) -> None:
        """Stop counting a body: it is complete, or nothing reads it."""
        if body.counted:
            self._release(body)
        if body.address:
            _subtract(self._by_address, body.address)

    def _release(self, body: UnfinishedBody) -> None:
        self._large.pop(body, None)
        self.used -= body.counted
        body.counted = 0


class Clients:
    """The clients of one gateway process, by address. For one event loop."""

    def __init__(self) -> None:
        self.proxies = TrustedProxies(())
        """The settings' own, once they are read."""
        self.on_refusal: Callable[[str], None] = lambda _: None
        """Called with the reason of each refused request or connection."""
        self.bodies = UnfinishedBodies()
        self._connections: Counter[str] = Counter()

    def address(self, peer: str, headers: Iterable[tuple[bytes, bytes]]) -> str:
        """Return what the body of a request is counted by that came through a trusted proxy."""
        return client_subnet(self.proxies.client(peer, headers))

    def connect(self, peer: str) -> str:
        """Count a connection; return what it is counted by.

        That is empty, and the connection is not counted, for a trusted proxy and for a Unix socket:
        such peers bring the connections of many clients.
        """
        if not peer or self.proxies.trusts(peer):
            return ""
        subnet = client_subnet(peer)
        self._connections[subnet] += 1
        return subnet

    def disconnect(self, subnet: str) -> None:
        """Stop counting a connection; `subnet` is what `connect` returned."""
        if subnet:
            _subtract(self._connections, subnet)

    def connections_of(self, subnet: str) -> int:
        """Return how many connections are counted by `subnet`."""
        return self._connections[subnet] if subnet else 0


def _exhausted(max_bytes: int) -> GatewayError:
    message = (
        f"bodies that are still arriving take {max_bytes} bytes, as much as they may: "
        "retry, with a smaller body or over a faster connection"
    )
    return GatewayError(ErrorCode.BODY_MEMORY_EXHAUSTED, message, retry_after=_RETRY_SECONDS)


def _subtract(counts: Counter[str], name: str) -> None:
    counts[name] -= 1
    if not counts[name]:
        del counts[name]
