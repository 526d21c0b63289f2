"""Guards against floods of frames that cost the peer almost nothing and us a little each."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv6Address, IPv6Network, ip_address

from transport.http2 import Http2ErrorCode, PeerError
from transport.limits import GrpcLimits

_BYTES_PER_FRAME = 64
"""So many bytes of messages allow one more useless frame: clients that measure bandwidth send a
PING with every message, and no inference request is smaller."""
_SHARE_OF_ADDRESS = 4
"""So many times a connection's resets may come from one address: clients behind one proxy."""
_MAX_ADDRESSES = 4096
_SUBNET_BITS = 64
"""Prefix that a provider assigns to one IPv6 customer."""


class TokenBucket:
    """`burst` tokens, of which `per_second` come back each second.

    Args:
        burst: how many can be taken at once, however quickly they are asked for.
        per_second: how many can be taken in the long run.
        clock: monotonic seconds.
    """

    __slots__ = ("_burst", "_clock", "_filled_at", "_per_second", "_tokens")

    def __init__(self, burst: int, per_second: int, clock: Callable[[], float]) -> None:
        self._burst = burst
        self._per_second = per_second
        self._clock = clock
        self._tokens = float(burst)
        self._filled_at = clock()

    @property
    def full(self) -> bool:
        """Whether nothing was taken that has not come back."""
        self._refill()
        return self._tokens >= self._burst

    def take(self, amount: int = 1) -> bool:
        """Take tokens; return False, and take none, if there are too few."""
        self._refill()
        if self._tokens < amount:
            return False
        self._tokens -= amount
        return True

    def give(self, amount: int) -> None:
        """Add tokens, up to `burst`."""
        self._tokens = min(self._tokens + amount, float(self._burst))

    def _refill(self) -> None:
        now = self._clock()
        seconds, self._filled_at = now - self._filled_at, now
        self._tokens = min(self._tokens + seconds * self._per_second, float(self._burst))


class FloodGuard:
    """Counts what a peer makes us do for nothing, and ends its connection when that is too much.

    What counts is how many frames have arrived, not how quickly we handle them: a busy process
    refuses the same floods as an idle one. Well-behaved peers send some such frames, too, and earn
    them by their calls and messages. Frames without work (CVE-2019-9512 and its relatives) and
    resets of calls ("rapid reset" CVE-2023-44487, and "made you reset" CVE-2025-8671, where the
    peer's violation has us reset the call) are counted apart, because a reset throws work away.

    Args:
        limits: of the connection.
        clock: monotonic seconds.
        received_bytes: of messages, since the connection began.
        opened_calls: since the connection began.
    """

    def __init__(
        self,
        limits: GrpcLimits,
        clock: Callable[[], float],
        *,
        received_bytes: Callable[[], int],
        opened_calls: Callable[[], int],
    ) -> None:
        self._frames = TokenBucket(
            limits.max_useless_frames, limits.useless_frames_per_second, clock
        )
        self._resets = [TokenBucket(limits.max_resets, limits.resets_per_second, clock)]
        self._received_bytes = received_bytes
        self._opened_calls = opened_calls
        self._paid_bytes = 0
        self._reset_calls = 0
        self._paid_calls = 0

    def share_resets(self, address: TokenBucket) -> None:
        """Count resets for the peer's address as well, with those of its other connections."""
        self._resets.append(address)

    def count(self, what: str, cost: int = 1) -> None:
        """Count a frame without work; `what` names its kind in the error.

        Raises:
            PeerError: there were too many.
        """
        if not self._frames.take(cost):
            earned = (self._received_bytes() - self._paid_bytes) // _BYTES_PER_FRAME
            self._paid_bytes += earned * _BYTES_PER_FRAME
            self._frames.give(earned)
            if not self._frames.take(cost):
                text = f"too many useless frames, the last: {what}"
                raise PeerError(Http2ErrorCode.ENHANCE_YOUR_CALM, text)

    def count_reset(self, what: str) -> None:
        """Count a call that was reset: by the peer, or by us because the peer violated a rule.

        Raises:
            PeerError: there were too many, here or from the peer's address.
        """
        self._reset_calls += 1
        for bucket in self._resets:
            if not bucket.take():
                self._earn_resets()
                if not bucket.take():
                    text = f"too many calls were reset, the last by {what}"
                    raise PeerError(Http2ErrorCode.ENHANCE_YOUR_CALM, text)

    def _earn_resets(self) -> None:
        """Allow one more reset for each call that was left to be answered."""
        earned = self._opened_calls() - self._reset_calls - self._paid_calls
        if earned > 0:
            self._paid_calls += earned
            for bucket in self._resets:
                bucket.give(earned)


class AddressResets:
    """Resets by client address: what one connection may not do, many may not do together.

    Args:
        limits: of one connection.
        clock: monotonic seconds.
    """

    def __init__(self, limits: GrpcLimits, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._clock = clock
        self._buckets: dict[str, TokenBucket] = {}

    def find(self, host: str) -> TokenBucket:
        """Return what the connections of `host`, an IP address, share; IPv6 by its /64 network."""
        host = _network(host)
        bucket = self._buckets.pop(host, None)
        if bucket is None:
            self._make_room()
            bucket = TokenBucket(
                self._limits.max_resets * _SHARE_OF_ADDRESS,
                self._limits.resets_per_second * _SHARE_OF_ADDRESS,
                self._clock,
            )
        self._buckets[host] = bucket  # the last one is the one that was used last
        return bucket

    def _make_room(self) -> None:
        if len(self._buckets) < _MAX_ADDRESSES:
            return
        full = [host for host, bucket in self._buckets.items() if bucket.full]
        for host in full or [next(iter(self._buckets))]:
            del self._buckets[host]


def _network(host: str) -> str:
    address = ip_address(host.partition("%")[0])
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(IPv6Network((int(address), _SUBNET_BITS), strict=False))
