"""What gateway and parser process send each other: frames, each with its length.

A job is two frames, the function with its arguments and the body; an outcome is one. Pickle is safe
here: both ends are ours, on a socket that no other process has.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from struct import Struct
from typing import Any

from gateway.errors import GatewayError
from protos.errors import ErrorCode, TensorError

LENGTH = Struct(">Q")
"""Precedes each frame."""


@dataclass(frozen=True, slots=True)
class Job:
    """A function of a module, and what it takes behind the body. Any: that is its own business."""

    function: Callable[..., object]
    arguments: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Result:
    """What the function returned. Any: as above."""

    value: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An error as plain values: exceptions with keywords cannot be pickled."""

    message: str
    code: ErrorCode | None = None
    """Of a GatewayError; None for a TensorError."""
    errors: tuple[dict[str, str], ...] = ()

    @classmethod
    def of(cls, error: GatewayError | TensorError) -> Failure:
        """Return what `exception` turns back into an error that is answered the same."""
        if isinstance(error, TensorError):
            return cls(message=str(error))
        errors = tuple(dict(one) for one in error.errors)
        return cls(message=error.message, code=error.code, errors=errors)

    def exception(self) -> GatewayError | TensorError:
        """Return the error."""
        if self.code is None:
            return TensorError(self.message)
        return GatewayError(self.code, self.message, errors=self.errors)


def encode_frame(content: bytes) -> tuple[bytes, bytes]:
    """Return the pieces of a frame."""
    return LENGTH.pack(len(content)), content


def to_bytes(content: Job | Result | Failure) -> bytes:
    """Return the content of a frame."""
    return pickle.dumps(content, pickle.HIGHEST_PROTOCOL)


def from_bytes(content: bytes) -> Any:  # Any: what `to_bytes` was given
    """Return what `to_bytes` was given."""
    return pickle.loads(content)  # nosec B301 # see above
