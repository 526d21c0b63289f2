"""What gateway and body parser send each other.

Pickle is safe here: both ends are ours, on a socket that no other process has.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gateway.errors import GatewayError
from protos.errors import ErrorCode, TensorError


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


def to_bytes(content: Job | Result | Failure) -> bytes:
    """Return a message."""
    return pickle.dumps(content, pickle.HIGHEST_PROTOCOL)


def from_bytes(content: bytes) -> Any:  # Any: what `to_bytes` was given
    """Return what `to_bytes` was given."""
    return pickle.loads(content)  # nosec B301 # see above
