"""Argon2id password hashes, computed in a thread pool."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from gateway.accounts.password_rules import MAX_LENGTH, check_password, normalize
from gateway.errors import GatewayError
from protos.errors import ErrorCode
from telemetry.priority import lower_thread_priority

T = TypeVar("T")

_MEMORY_KIB = 64 * 1024
_TIME_COST = 3
_PARALLELISM = 1
"""RFC 9106's second recommended option, but with one lane instead of four, which would take cores
away from calls: 0.17 s on the benchmark machine."""
_THREADS = 2
"""Concurrent hashes: 128 MiB and two cores at most, which calls get first."""
_MAX_PENDING = 50
_RETRY_SECONDS = 5.0
_GENERATED_BYTES = 15
"""120 bits, 20 characters."""


class PasswordService:
    """Hashes and verifies passwords without blocking the event loop. For one event loop."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(
            time_cost=_TIME_COST, memory_cost=_MEMORY_KIB, parallelism=_PARALLELISM, type=Type.ID
        )
        self._threads = ThreadPoolExecutor(
            _THREADS, thread_name_prefix="passwords", initializer=lower_thread_priority
        )
        self._pending = 0

    async def accept(self, password: str, email: str) -> str:
        """Return the hash of a new password.

        Raises:
            GatewayError: VALIDATION_FAILED, see `check_password`; OVERLOADED.
        """
        checked = normalize(password)
        # At usual priority: it holds the interpreter's lock, which the event loop would wait for.
        await self._run(lambda: check_password(checked, email), on_default=True)
        return await self._run(lambda: self._hasher.hash(checked))

    async def verify(self, password: str, hashed: str | None) -> bool:
        """Whether the password matches; for `hashed` None, False after the same time.

        Raises:
            GatewayError: OVERLOADED if too many are pending.
        """
        return await self._run(lambda: self._verify(password, hashed))

    async def rehash_if_needed(self, password: str, hashed: str) -> str | None:
        """Return a new hash of a verified password if `hashed` has outdated parameters."""
        if not self._hasher.check_needs_rehash(hashed):
            return None
        return await self._run(lambda: self._hasher.hash(normalize(password)))

    def close(self) -> None:
        """Cancel what is pending."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _verify(self, password: str, hashed: str | None) -> bool:
        given = normalize(password[:MAX_LENGTH])
        if hashed is None:
            self._hasher.hash(given)  # timing must not reveal that the user does not exist
            return False
        try:
            return self._hasher.verify(hashed, given)
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, work: Callable[[], T], *, on_default: bool = False) -> T:
        if self._pending >= _MAX_PENDING:
            message = f"too many passwords are being checked: retry in {_RETRY_SECONDS:g} s"
            raise GatewayError(ErrorCode.OVERLOADED, message, retry_after=_RETRY_SECONDS)
        self._pending += 1
        try:
            threads = None if on_default else self._threads
            return await asyncio.get_running_loop().run_in_executor(threads, work)
        finally:
            self._pending -= 1


def generate_password() -> str:
    """Return a random password."""
    return secrets.token_urlsafe(_GENERATED_BYTES)
