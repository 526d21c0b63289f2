"""Exceptions as errors for the caller: unexpected ones are logged here, and never sent."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from gateway.errors import DatabaseAwayError, GatewayError
from gateway.storage.disk_space import is_disk_full
from protos.errors import ErrorCode, TensorError
from telemetry.logs import logger, reason_of

DISK_FULL = (
    "the database's disk is full; nothing was changed: send it again when the operator has made "
    "room"
)
_RETRY_SECONDS = 2

log = logger("gateway.web")


def as_gateway_error(error: Exception, request_id: bytes) -> GatewayError:
    """Return the error to send for `error`."""
    if isinstance(error, GatewayError):
        return error
    if isinstance(error, TensorError):
        return GatewayError(error.code, str(error))
    name = request_id.decode()
    if is_disk_full(error):
        log.warning("disk_full", request_id=name, reason=reason_of(error))
        return GatewayError(ErrorCode.STORAGE_QUOTA_EXCEEDED, DISK_FULL)
    if isinstance(error, DatabaseAwayError):  # the change feed has logged it
        message = "the database does not answer; nothing was changed"
        return GatewayError(ErrorCode.DATABASE_UNAVAILABLE, message, retry_after=_RETRY_SECONDS)
    if isinstance(error, DBAPIError | PoolTimeoutError | ConnectionError):
        log.warning("database_unavailable", request_id=name, reason=reason_of(error))
        message = "the database has not answered: a change may have been made, or not"
        return GatewayError(ErrorCode.DATABASE_UNAVAILABLE, message, retry_after=_RETRY_SECONDS)
    log.error("request_failed", request_id=name, exc_info=error)
    message = f"the gateway failed on this request; its log has the details under {name}"
    return GatewayError(ErrorCode.INTERNAL, message)
