"""The model store's one exception."""

from __future__ import annotations

from collections.abc import Sequence

from protos.errors import ErrorCode


class StoreError(Exception):
    """A name, a version or a file that the store refuses, or does not have.

    Attributes:
        code: INVALID_MODEL, INVALID_REQUEST, NOT_FOUND or CONFLICT.
        message: what was refused, what was expected, what to do.
    """

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class MissingDataError(StoreError):
    """The model refers to external data that does not lie beside it.

    Attributes:
        locations: the missing files, as the model names them.
    """

    def __init__(self, locations: Sequence[str]) -> None:
        listed = ", ".join(f"'{location}'" for location in locations)
        super().__init__(
            ErrorCode.INVALID_MODEL,
            f"the model keeps weights in {listed}, which is missing: put the external data beside "
            "the model file, under the same relative path",
        )
        self.locations = tuple(locations)


def invalid_request(message: str) -> StoreError:
    """Return the error for a name, a version or a source that cannot be used as asked."""
    return StoreError(ErrorCode.INVALID_REQUEST, message)


def invalid_model(message: str) -> StoreError:
    """Return the error for a file that is no model, or none that can be served."""
    return StoreError(ErrorCode.INVALID_MODEL, message)
