"""The graphs of models, which child processes read one after the other."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from gateway.errors import GatewayError
from gateway.models.service import ModelService
from gateway.storage.cache import Cache
from model_store.errors import StoreError
from model_store.graph import MAX_FILE_BYTES, GraphReader, ModelGraph, too_large
from model_store.store import ModelStore
from protos.errors import ErrorCode

_MAX_KEPT = 32
_MAX_WAITING = 8
_RETRY_SECONDS = 5.0


class _Version(NamedTuple):
    name: str
    version: int
    sha256: str
    """Of model.onnx: a number may be published again by hand."""


class ModelGraphs:
    """Reads graphs on a thread of its own, and keeps the last ones."""

    def __init__(self, models: ModelService, store: ModelStore, reader: GraphReader) -> None:
        self._models = models
        self._store = store
        self._reader = reader
        self._kept: Cache[_Version, ModelGraph] = Cache(self._load, size=_MAX_KEPT)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model graph")
        self._waiting = 0

    async def find(self, profile_id: str | None, name: str, spec: str) -> ModelGraph:
        """Return the graph of a version that a user may use.

        Raises:
            GatewayError: NOT_FOUND; OVERLOADED while many others are read; INVALID_MODEL if it
                cannot be read within limits of memory and time; STORAGE_QUOTA_EXCEEDED if the disk
                has no room for its file.
        """
        manifest = await self._models.manifest(profile_id, name, spec)
        size = manifest.files[0].size
        if size > MAX_FILE_BYTES:
            return too_large(size)
        return await self._kept.find(_Version(name, manifest.version, manifest.sha256))

    def close(self) -> None:
        """Start nothing more, and end what runs."""
        self._reader.close()
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _load(self, version: _Version) -> ModelGraph:
        if self._waiting >= _MAX_WAITING:
            message = f"{self._waiting} graphs of models are being read: try again"
            raise GatewayError(ErrorCode.OVERLOADED, message, retry_after=_RETRY_SECONDS)
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._thread, self._read, version)
        except StoreError as error:
            raise GatewayError(error.code, error.message) from error
        finally:
            self._waiting -= 1

    def _read(self, version: _Version) -> ModelGraph:
        with self._store.model_file(version.name, version.version) as file:
            return self._reader.read(file)
