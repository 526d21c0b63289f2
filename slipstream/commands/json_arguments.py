"""JSON in arguments of commands, and in files that they name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import typer

from gateway.errors import GatewayError
from protos.errors import ErrorCode


def json_argument(text: str, source: str) -> dict[str, Any]:
    """Return the JSON object that is `text`, or with `@` before it in the file of that name.

    Any: JSON.

    Raises:
        GatewayError: INVALID_JSON; VALIDATION_FAILED if it is no object.
        typer.BadParameter: the file cannot be read.
    """
    content = file_content(text[1:], source) if text.startswith("@") else text.encode()
    return json_object(content, source)


def file_content(path: str, source: str) -> bytes:
    """Return a file's content, or exit as for every invalid command line."""
    if path == "-":
        return typer.get_binary_stream("stdin").read()
    try:
        return Path(path).read_bytes()
    except OSError as error:
        message = f"{source}: '{path}' cannot be read: {error.strerror}"
        raise typer.BadParameter(message) from None


def json_object(content: bytes, source: str) -> dict[str, Any]:
    """Return the JSON object that is in `content`; Any: JSON.

    Raises:
        GatewayError: INVALID_JSON; VALIDATION_FAILED if it is no object.
    """
    try:
        document = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        message = f"{source} is not valid JSON: {error}"
        raise GatewayError(ErrorCode.INVALID_JSON, message) from None
    if not isinstance(document, dict):
        message = f"{source}: expected a JSON object, got {type(document).__name__}"
        raise GatewayError(ErrorCode.VALIDATION_FAILED, message)
    return document
