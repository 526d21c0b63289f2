"""Logins of one client address take turns, so that they cannot delay those of another."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from gateway.errors import GatewayError
from gateway.limits.client_subnet import client_subnet
from protos.errors import ErrorCode

MAX_WAITING = 10
"""Of one address. Each takes about as long as one password hash, 0.2 s."""
_RETRY_SECONDS = 2.0
_REASON = "address_logins"


class LoginQueue:
    """One login at a time per client address. For one event loop.

    Passwords are checked by two threads: while one of them works for an address with many logins,
    the other is free for everyone else.
    """

    def __init__(self, on_refusal: Callable[[str], None]) -> None:
        """Call `on_refusal` with a reason, for the metrics, when a login is refused."""
        self._on_refusal = on_refusal
        self._locks: dict[str, asyncio.Lock] = {}
        self._attempts: Counter[str] = Counter()

    @asynccontextmanager
    async def turn(self, address: str | None) -> AsyncIterator[None]:
        """Wait for the turn of a login from `address`; None is a Unix socket, and does not wait.

        Raises:
            GatewayError: OVERLOADED if too many of the address wait already.
        """
        if address is None:
            yield
            return
        subnet = client_subnet(address)
        if self._attempts[subnet] > MAX_WAITING:
            self._on_refusal(_REASON)
            message = (
                f"{MAX_WAITING} logins from this address are waiting already: "
                f"retry in {_RETRY_SECONDS:g} s"
            )
            raise GatewayError(ErrorCode.OVERLOADED, message, retry_after=_RETRY_SECONDS)
        lock = self._locks.setdefault(subnet, asyncio.Lock())
        self._attempts[subnet] += 1
        try:
            async with lock:
                yield
        finally:
            self._attempts[subnet] -= 1
            if not self._attempts[subnet]:
                del self._attempts[subnet], self._locks[subnet]
