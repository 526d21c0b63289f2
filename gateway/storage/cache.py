"""A cache in front of the database: a look costs no await, and a change empties it in time."""

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

_REFUSAL_SECONDS = 5.0


class Cache(Generic[K, V]):
    """Values by key, loaded on a miss and kept until told otherwise; the least used go first.

    A load that raises GatewayError is remembered too, for `_REFUSAL_SECONDS`. For one event loop.
    """

    def __init__(self, load: Callable[[K], Awaitable[V]], *, size: int = 10_000) -> None:
        self._load = load
        self._size = size
        self._values: OrderedDict[K, V] = OrderedDict()
        self._refusals: OrderedDict[K, tuple[float, ErrorCode, str]] = OrderedDict()
        self._loads: dict[K, asyncio.Task[V]] = {}
        self.generation = 0
        """Rises with each change: a value from an earlier generation may be outdated."""

    def get(self, key: K) -> V | None:
        """Return the value if it is here."""
        value = self._values.get(key)
        if value is not None:
            self._values.move_to_end(key)
        return value

    async def find(self, key: K) -> V:
        """Return the value, loaded where it is not here; raise what the load raises.

        Callers that miss at the same time share one load.
        """
        value = self.get(key)
        if value is not None:
            return value
        self._refuse_again(key)
        loading = self._loads.get(key)
        if loading is None:
            loading = asyncio.create_task(self._load_and_keep(key))
            self._loads[key] = loading
            loading.add_done_callback(partial(self._loaded, key))
        return await asyncio.shield(loading)

    def forget(self, which: Callable[[V], bool] | None = None) -> None:
        """Drop the values that `which` picks, or all; and every refusal, and loads under way."""
        self.generation += 1
        self._loads.clear()
        self._refusals.clear()
        if which is None:
            self._values.clear()
            return
        for key in [key for key, value in self._values.items() if which(value)]:
            del self._values[key]

    def discard(self, key: K) -> None:
        """Drop the value of one key, if it is here."""
        self._values.pop(key, None)

    async def _load_and_keep(self, key: K) -> V:
        generation = self.generation
        try:
            value = await self._load(key)
        except GatewayError as error:
            if generation == self.generation:
                refusal = (time.monotonic() + _REFUSAL_SECONDS, error.code, error.message)
                _keep(self._refusals, key, refusal, self._size)
            raise
        # What was read before a change must not be kept after it.
        if generation == self.generation:
            _keep(self._values, key, value, self._size)
        return value

    def _loaded(self, key: K, task: asyncio.Task[V]) -> None:
        if self._loads.get(key) is task:
            del self._loads[key]
        if not task.cancelled():
            task.exception()  # seen, even where every caller has gone away meanwhile

    def _refuse_again(self, key: K) -> None:
        refusal = self._refusals.get(key)
        if refusal is None:
            return
        until, code, message = refusal
        if time.monotonic() < until:
            raise GatewayError(code, message)
        del self._refusals[key]


def _keep(entries: OrderedDict[K, V], key: K, value: V, size: int) -> None:
    entries[key] = value
    if len(entries) > size:
        entries.popitem(last=False)
