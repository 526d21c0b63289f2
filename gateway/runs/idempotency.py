"""`Idempotency-Key`: the same call again is the same run.

See draft-ietf-httpapi-idempotency-key-header. Pure. The key belongs to its sender's profile and to
one deployment; the store keeps it with the run.
"""

from __future__ import annotations

from hashlib import sha256

from gateway.errors import GatewayError
from gateway.runs.run import FailureCode, Idempotency, Run
from protos.errors import ErrorCode

HEADER = b"idempotency-key"
KEPT_SECONDS = 24 * 60 * 60.0
"""How long a key stands for its run, or longer: as long as the run has not ended."""

_MOST = 255
_INFRASTRUCTURE = frozenset(
    {
        FailureCode.WORKER_LOST,
        FailureCode.QUEUE_TIMEOUT,
        FailureCode.INFERENCE_UNAVAILABLE,
        FailureCode.CANCELLED_BY_SHUTDOWN,
    }
)


def read_idempotency(value: bytes | None, deployment_id: str, body: bytes) -> Idempotency | None:
    """Return what the header's value says of a call with this body; None where it is not there.

    It is a string in quotes, as the draft says, or without them.

    Raises:
        GatewayError: INVALID_REQUEST where it is not 1 to 255 visible ASCII characters.
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
    return Idempotency(key=key, fingerprint=fingerprint(deployment_id, body))


def fingerprint(deployment_id: str, body: bytes) -> str:
    """Return what two calls have in common only where they are the same."""
    return sha256(deployment_id.encode() + body).hexdigest()


def ended_by_infrastructure(run: Run) -> bool:
    """Whether the run failed through no fault of flow or caller: it is not replayed."""
    return run.error is not None and run.error.code in _INFRASTRUCTURE


def key_reused_error(key: str, run: Run) -> GatewayError:
    """Return the error for a key that stands for a run with another body."""
    message = (
        f"Idempotency-Key: '{key[:40]}' was used with another body, for run {run.id}: "
        "send the same body, or another key"
    )
    return GatewayError(ErrorCode.IDEMPOTENCY_KEY_REUSED, message, details={"flow_run_id": run.id})


def _unescaped(text: str) -> str:
    """Return a structured field's string without its backslashes (RFC 8941)."""
    return text.replace('\\"', '"').replace("\\\\", "\\")
