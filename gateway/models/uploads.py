"""Bodies of uploads: an .onnx file, or a form with the file and its external data.

What arrives is written to the store's staging folder as it arrives, and nowhere else.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from fastapi import Request

from gateway.errors import GatewayError
from gateway.models.upload_form import FormSink, RawSink, Sink
from gateway.models.upload_quotas import UploadQuotas
from protos.errors import ErrorCode

_RAW = "application/octet-stream"
_FORM = "multipart/form-data"
_BLOCK_BYTES = 1 << 20
"""Written at a time, on a thread."""
_FULL_DISK = frozenset({errno.ENOSPC, errno.EDQUOT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A received upload, in a folder that is deleted with the context."""

    folder: Path
    fields: dict[str, str]
    """The text fields of a form."""


@asynccontextmanager
async def receive_upload(
    request: Request, quotas: UploadQuotas, user: str
) -> AsyncIterator[Upload]:
    """Write the request's body to a folder with a model.onnx.

    Raises:
        GatewayError: OVERLOADED, UNSUPPORTED_MEDIA_TYPE, PAYLOAD_TOO_LARGE and
            STORAGE_QUOTA_EXCEEDED before anything is read, if the headers tell; the last two also
            while it is read; INVALID_REQUEST or INVALID_MODEL for a form that cannot be used.
    """
    content_type = request.headers.get("content-type", "")
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type not in (_RAW, _FORM):
        message = f"expected {_FORM} or {_RAW}, got '{media_type}'"
        raise GatewayError(ErrorCode.UNSUPPORTED_MEDIA_TYPE, message)
    with quotas.place(user):
        try:
            await quotas.check_declared(user, _declared_size(request))
        except GatewayError:  # the body would only be read to be thrown away
            request.scope["state"]["headers"].append((b"connection", b"close"))
            raise
        async with _folder(quotas) as folder:
            sink = await asyncio.to_thread(_sink, media_type, folder, content_type)
            await _receive(request, sink, quotas)
            yield Upload(folder=folder, fields=sink.fields)


@asynccontextmanager
async def _folder(quotas: UploadQuotas) -> AsyncIterator[Path]:
    folder = quotas.store.upload_folder()
    path = await asyncio.to_thread(folder.__enter__)
    try:
        yield path
    finally:
        await asyncio.to_thread(folder.__exit__, None, None, None)


def _sink(media_type: str, folder: Path, content_type: str) -> Sink:
    return RawSink(folder) if media_type == _RAW else FormSink(folder, content_type)


def _declared_size(request: Request) -> int:
    declared = request.headers.get("content-length", "")
    return int(declared) if declared.isdecimal() else 0


async def _receive(request: Request, sink: Sink, quotas: UploadQuotas) -> None:
    """Write the body to `sink`, which is closed afterwards."""
    size = 0
    block = bytearray()

    def write(content: bytes) -> None:
        quotas.check_disk(len(content))
        sink.write(content)

    try:
        async for chunk in request.stream():
            size += len(chunk)
            quotas.check_size(size)
            block += chunk
            if len(block) >= _BLOCK_BYTES:
                await asyncio.to_thread(write, bytes(block))
                block.clear()
        await asyncio.to_thread(write, bytes(block))
        sink.finish()
    except OSError as error:
        if error.errno in _FULL_DISK:
            raise quotas.disk_full() from error
        raise
    finally:
        sink.close()
