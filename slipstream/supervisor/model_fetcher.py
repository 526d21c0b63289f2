"""Transfers models from the store to this host, each version once at a time."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from model_store.errors import StoreError
from model_store.store import ModelStore
from telemetry.logs import logger, reason_of

_AT_ONCE = 16
_SHOWN_SECONDS = 1.0
"""After which it is shown that a model is being fetched."""

log = logger("slipstream.supervisor.fleet")


class ModelFetcher:
    """Has models on this host."""

    def __init__(self, models: ModelStore) -> None:
        self._models = models
        # Not the loop's own threads, for which everything else waits: models take minutes
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="fetch")
        self._fetches: dict[tuple[str, int], asyncio.Future[Path]] = {}

    async def fetch(self, model: str, version: int, *, on_wait: Callable[[], None]) -> Path:
        """Have a version on this host; return the store's folder.

        `on_wait` is called once, if that takes more than a second.

        Raises:
            OSError: it cannot be fetched; `strerror` says why.
        """
        which = (model, version)
        fetching = self._fetches.get(which)
        if fetching is None:  # replicas of a version share a transfer
            loop = asyncio.get_running_loop()
            fetching = loop.run_in_executor(self._threads, self._models.fetch, *which)
            self._fetches[which] = fetching
            fetching.add_done_callback(lambda _: self._fetches.pop(which))
        done, _ = await asyncio.wait({fetching}, timeout=_SHOWN_SECONDS)
        if not done:
            on_wait()
        try:
            return await asyncio.shield(fetching)
        except StoreError as error:
            raise OSError(errno.EIO, error.message) from error
        except Exception as error:
            log.exception("model_not_fetched", model=model, version=version)
            raise OSError(errno.EIO, reason_of(error)) from error

    def close(self) -> None:
        """End transfers."""
        self._models.close()
