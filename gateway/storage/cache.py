"""A cache of rows: a hit needs no await, and the change feed invalidates entries."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Generic, TypeVar

from gateway.errors import GatewayError
from protos.errors import ErrorCode

K = TypeVar("K")
V = TypeVar("V")

_ERROR_SECONDS = 5.0


class Cache(Generic[K, V]):
    """Values by key, loaded on a miss and kept until invalidated; evicts the least recently used.

    A GatewayError raised by a load is cached too, for `_ERROR_SECONDS`. For one event loop.
    """

    def __init__(self, load: Callable[[K], Awaitable[V]], *, size: int = 10_000) -> None:
        self._load = load
        self._size = size
        self._values: OrderedDict[K, V] = OrderedDict()
        self._errors: OrderedDict[K, tuple[float, ErrorCode, str]] = OrderedDict()
        self._loads: dict[K, asyncio.Task[V]] = {}
        self.generation = 0
        """Rises with each change: a value from an earlier generation may be outdated."""

    def get(self, key: K) -> V | None:
        """Return the value if it is cached."""
        value = self._values.get(key)
        if value is not None:
            self._values.move_to_end(key)
        return value

    async def find(self, key: K) -> V:
        """Return the value, loading it on a miss; raise what the load raises.

        Concurrent misses of one key share a load.
        """
        value = self.get(key)
        if value is not None:
            return value
        self._raise_cached_error(key)
        loading = self._loads.get(key)
        if loading is None:
            loading = asyncio.create_task(self._load_and_keep(key))
            self._loads[key] = loading
            loading.add_done_callback(partial(self._loaded, key))
        return await asyncio.shield(loading)

    def invalidate(self, predicate: Callable[[V], bool] | None = None) -> None:
        """Drop all values, or those that match `predicate`, and every error and pending load."""
        self.generation += 1
        self._loads.clear()
        self._errors.clear()
        if predicate is None:
            self._values.clear()
            return
        for key in [key for key, value in self._values.items() if predicate(value)]:
            del self._values[key]

    def discard(self, key: K) -> None:
        """Drop the value of one key, if it is cached."""
        self._values.pop(key, None)

    async def _load_and_keep(self, key: K) -> V:
        generation = self.generation
        try:
            value = await self._load(key)
        except GatewayError as error:
            if generation == self.generation:
                entry = (time.monotonic() + _ERROR_SECONDS, error.code, error.message)
                _keep(self._errors, key, entry, self._size)
            raise
        # A value read before a change must not be cached after it.
        if generation == self.generation:
            _keep(self._values, key, value, self._size)
        return value

    def _loaded(self, key: K, task: asyncio.Task[V]) -> None:
        if self._loads.get(key) is task:
            del self._loads[key]
        if not task.cancelled():
            task.exception()  # marks it as retrieved, even if every caller was cancelled

    def _raise_cached_error(self, key: K) -> None:
        error = self._errors.get(key)
        if error is None:
            return
        until, code, message = error
        if time.monotonic() < until:
            raise GatewayError(code, message)
        del self._errors[key]


def _keep(entries: OrderedDict[K, V], key: K, value: V, size: int) -> None:
    entries[key] = value
    if len(entries) > size:
        entries.popitem(last=False)
