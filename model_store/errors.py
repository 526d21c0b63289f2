"""The exceptions of the model store."""

from __future__ import annotations

from collections.abc import Sequence

from protos.errors import ErrorCode


class StoreError(Exception):
    """A name, version or file that is invalid, unknown or in conflict.

    Attributes:
        code: INVALID_MODEL, INVALID_REQUEST, NOT_FOUND, CONFLICT or MODEL_STORE_UNAVAILABLE.
        message: what was refused, what was expected, what to do.
    """

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class MissingDataError(StoreError):
    """The model refers to external data that is not beside it.

    Attributes:
        locations: the missing files, as the model names them.
    """

    def __init__(self, locations: Sequence[str]) -> None:
        listed = ", ".join(f"'{location}'" for location in locations)
        super().__init__(
            ErrorCode.INVALID_MODEL,
            f"the model keeps weights in {listed}, which is missing: put the external data beside "
            "the model file, at the same relative path",
        )
        self.locations = tuple(locations)


def invalid_request(message: str) -> StoreError:
    """Return the error for an invalid name, version or source."""
    return StoreError(ErrorCode.INVALID_REQUEST, message)


def invalid_model(message: str) -> StoreError:
    """Return the error for a file that is not a model, or cannot be served."""
    return StoreError(ErrorCode.INVALID_MODEL, message)
