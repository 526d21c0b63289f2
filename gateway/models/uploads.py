"""Bodies of uploads: an .onnx file, or a form with the file and its external data."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
from fastapi import Request
from starlette.datastructures import FormData, UploadFile

from gateway.errors import GatewayError
from model_store.errors import StoreError
from model_store.names import check_location
from protos.errors import ErrorCode

_CHUNK = 1 << 20
_RAW = "application/octet-stream"
_FORM = "multipart/form-data"
_MODEL = "model.onnx"


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A received upload, in a folder that is deleted with the context."""

    folder: Path
    fields: dict[str, str]
    """The text fields of a form."""


@asynccontextmanager
async def receive_upload(request: Request) -> AsyncIterator[Upload]:
    """Write the request's body to a folder with a model.onnx.

    Raises:
        GatewayError: UNSUPPORTED_MEDIA_TYPE, or INVALID_REQUEST for a form without `file`.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    with TemporaryDirectory(prefix="slipstream-upload-") as name:
        folder = Path(name)
        if media_type == _RAW:
            await _write(folder / _MODEL, request.stream())
            yield Upload(folder=folder, fields={})
        elif media_type == _FORM:
            async with request.form() as form:
                await _write_form(folder, form)
                fields = {key: value for key, value in form.items() if isinstance(value, str)}
            yield Upload(folder=folder, fields=fields)
        else:
            message = f"expected {_FORM} or {_RAW}, got '{media_type}'"
            raise GatewayError(ErrorCode.UNSUPPORTED_MEDIA_TYPE, message)


async def _write_form(folder: Path, form: FormData) -> None:
    model = form.get("file")
    if not isinstance(model, UploadFile):
        message = "file: expected the .onnx file in the form's field `file`, got none"
        raise GatewayError(ErrorCode.INVALID_REQUEST, message)
    await _write(folder / _MODEL, _chunks(model))
    for part in form.getlist("data"):
        if isinstance(part, UploadFile):
            try:
                path = folder / check_location(part.filename or "")
            except StoreError as error:
                raise GatewayError(error.code, f"data: {error.message}") from error
            path.parent.mkdir(parents=True, exist_ok=True)
            await _write(path, _chunks(part))


async def _chunks(part: UploadFile) -> AsyncIterator[bytes]:
    while chunk := await part.read(_CHUNK):
        yield chunk


async def _write(path: Path, chunks: AsyncIterator[bytes]) -> None:
    async with await anyio.open_file(path, "wb") as file:
        async for chunk in chunks:
            await file.write(chunk)
