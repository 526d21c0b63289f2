"""`Idempotency-Key`: a repeated call gets the same run. Pure.

See draft-ietf-httpapi-idempotency-key-header. The key is scoped to one deployment and the caller's
API key, with the keys that this one replaced, and is stored with the run.
"""

from __future__ import annotations

from hashlib import sha256

from gateway.auth.identity import Identity
from gateway.errors import GatewayError
from gateway.runs.run import FailureCode, Idempotency, Run
from protos.errors import ErrorCode

HEADER = b"idempotency-key"
KEPT_SECONDS = 24 * 60 * 60.0
"""Retention of a key; it is also kept until its run has ended."""

_MOST = 255
_INFRASTRUCTURE = frozenset(
    {
        FailureCode.WORKER_LOST,
        FailureCode.QUEUE_TIMEOUT,
        FailureCode.INFERENCE_UNAVAILABLE,
        FailureCode.NO_ACTIVE_INFERENCE,
        FailureCode.STORAGE_QUOTA_EXCEEDED,
        FailureCode.CANCELLED_BY_SHUTDOWN,
    }
)


def read_idempotency(
    value: bytes | None, identity: Identity, deployment_id: str, body: bytes
) -> Idempotency | None:
    """Parse the header, quoted as in the draft or not; return None if it is absent.

    Raises:
        GatewayError: INVALID_REQUEST if it is not 1 to 255 visible ASCII characters.
    """
    if value is None:
        return None
    key = value.strip().decode("latin-1")
    if len(key) > 1 and key[0] == key[-1] == '"':
        key = _unescaped(key[1:-1])
    if not 0 < len(key) <= _MOST or not all("!" <= character <= "~" for character in key):
        message = (
            "Idempotency-Key: expected 1 to 255 visible ASCII characters, such as "
            f'"8e03978e-40d5-43dd-bc93-6894a57f9324", got {len(key)} characters {key[:40]!r}'
        )
        raise GatewayError(ErrorCode.INVALID_REQUEST, message)
    return Idempotency(
        key=key,
        fingerprint=fingerprint(deployment_id, body),
        replaced_keys=identity.replaced_keys,
    )


def key_required() -> GatewayError:
    """Return the error of a call without the header where the deployment expects it."""
    message = "Idempotency-Key: this deployment expects one with each call, such as a UUID"
    return GatewayError(ErrorCode.IDEMPOTENCY_KEY_REQUIRED, message)


def fingerprint(deployment_id: str, body: bytes) -> str:
    """Return a hash that identifies a call: the deployment and the body."""
    digest = sha256(deployment_id.encode())
    digest.update(body)  # releases the interpreter's lock
    return digest.hexdigest()


def ended_by_infrastructure(run: Run) -> bool:
    """Whether the run failed because of the infrastructure: such a run is not replayed."""
    return run.error is not None and run.error.code in _INFRASTRUCTURE


def key_reused_error(key: str, run: Run) -> GatewayError:
    """Return the error for a key that belongs to a run with another body."""
    message = (
        f"Idempotency-Key: '{key[:40]}' was used with another body, for run {run.id}: "
        "send the same body, or another key"
    )
    return GatewayError(ErrorCode.IDEMPOTENCY_KEY_REUSED, message, details={"flow_run_id": run.id})


def _unescaped(text: str) -> str:
    """Remove the escapes of a structured field string (RFC 8941)."""
    return text.replace('\\"', '"').replace("\\\\", "\\")
