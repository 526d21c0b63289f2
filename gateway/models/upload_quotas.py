"""What uploads may take: places, bytes each, and bytes of the store and of each user."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from gateway.errors import GatewayError
from gateway.storage.disk_space import room_on_disk
from model_store.errors import StoreError
from model_store.store import ModelStore
from protos.errors import ErrorCode

_MAX_UPLOADS = 16
"""At once in this process: being received, or waiting for their verification."""
_MAX_USER_UPLOADS = 4
_RETRY_SECONDS = 15.0
_QUESTIONS = 4
"""To the store at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaLimits:
    """Bytes, and numbers of versions."""

    upload_bytes: int
    store_bytes: int | None
    """None: what the disk has room for."""
    user_bytes: int
    user_versions: int


class UploadQuotas:
    """Decides whether an upload may begin, go on and be published."""

    def __init__(self, store: ModelStore, limits: QuotaLimits) -> None:
        self.store = store
        self._limits = limits
        self._uploads: Counter[str] = Counter()
        # Not the loop's own threads, for which everything else waits: the store may hang
        self._asking = ThreadPoolExecutor(_QUESTIONS, thread_name_prefix="model quotas")

    @contextmanager
    def place(self, user: str) -> Iterator[None]:
        """Hold one of the places for uploads; raise GatewayError (OVERLOADED) if none is free."""
        total = self._uploads.total()
        if total >= _MAX_UPLOADS or self._uploads[user] >= _MAX_USER_UPLOADS:
            whose = f"{self._uploads[user]} of them yours, at most {_MAX_USER_UPLOADS}"
            message = (
                f"{total} uploads are being received or verified ({whose}): send this one when one"
                " of them is done"
            )
            raise GatewayError(ErrorCode.OVERLOADED, message, retry_after=_RETRY_SECONDS)
        self._uploads[user] += 1
        try:
            yield
        finally:
            self._uploads[user] -= 1
            if not self._uploads[user]:
                del self._uploads[user]

    def check_size(self, size: int) -> None:
        """Raise GatewayError (PAYLOAD_TOO_LARGE) for an upload over the limit of one."""
        limit = self._limits.upload_bytes
        if size > limit:
            message = (
                f"the upload is larger than {limit} bytes (setting SLIPSTREAM_MAX_UPLOAD_BYTES)"
            )
            raise GatewayError(ErrorCode.PAYLOAD_TOO_LARGE, message)

    async def check_declared(self, user: str, size: int) -> None:
        """Check what `check` checks, before an upload of `size` bytes is received.

        Raises:
            GatewayError: as `check`, or MODEL_STORE_UNAVAILABLE.
        """
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._asking, self.check, user, size)
        except StoreError as error:
            raise GatewayError(error.code, error.message) from error

    def check(self, user: str | None, size: int) -> None:
        """Check that `size` more bytes of `user` fit; None: only the store's quota. Blocks.

        Raises:
            GatewayError: PAYLOAD_TOO_LARGE or STORAGE_QUOTA_EXCEEDED.
        """
        self.check_size(size)
        self.check_disk(size)
        limits = self._limits
        usage = self.store.usage()
        if limits.store_bytes is not None and usage.total_bytes + size > limits.store_bytes:
            raise _exceeded(
                f"the model store has {usage.total_bytes} of {limits.store_bytes} bytes "
                "(setting SLIPSTREAM_MODEL_STORE_BYTES)"
            )
        if user is None:
            return
        mine = usage.by_owner[user]
        if mine.size + size > limits.user_bytes:
            raise _exceeded(
                f"your models have {mine.size} of {limits.user_bytes} bytes "
                "(setting SLIPSTREAM_USER_MODEL_BYTES)"
            )
        if mine.versions >= limits.user_versions:
            raise _exceeded(
                f"you have {mine.versions} model versions, the most that a user may have "
                "(setting SLIPSTREAM_USER_MODEL_VERSIONS)"
            )

    def check_disk(self, size: int) -> None:
        """Raise GatewayError (STORAGE_QUOTA_EXCEEDED) if `size` more bytes fill the disk."""
        self.store.root.mkdir(parents=True, exist_ok=True)  # it is made with the first model
        if room_on_disk(self.store.root) < size:
            raise self.disk_full()

    def disk_full(self) -> GatewayError:
        """Return the error for an upload that the disk has no room for."""
        return _exceeded("the model store's disk has too little room")


def _exceeded(reason: str) -> GatewayError:
    message = f"{reason}: remove versions that are not needed, or ask the operator for more"
    return GatewayError(ErrorCode.STORAGE_QUOTA_EXCEEDED, message)
