"""Sends one delivery once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from gateway.errors import GatewayError
from gateway.outbound.http import GuardedHttpClient
from gateway.outbound.messages import OutboundRequest, OutboundResponse
from gateway.storage.clock import now
from gateway.webhooks.deliveries import ClaimedDelivery, DeliveryAttempt
from gateway.webhooks.retry_policy import parse_retry_after
from gateway.webhooks.secret_box import SecretBox, SecretDecryptionError
from gateway.webhooks.signature import (
    ID_HEADER,
    SIGNATURE_HEADER,
    TIMESTAMP_HEADER,
    signature_header,
)
from gateway.webhooks.states import AttemptResult
from protos.errors import ErrorCode
from telemetry.traces import Tracer

_USER_AGENT = "flow-deploy-webhooks/1"
_MAX_READ_BYTES = 64 * 1024
"""Of a response: a short one is read to its end, so that the connection can be reused."""
_MAX_STORED_BYTES = 1024
_MAX_MESSAGE_LENGTH = 500
_ABORT = "abort-message"
_GONE = 410
_THROTTLES = frozenset({429, 502, 504})


class DeliverySender:
    """Signs a delivery, posts it, and classifies the response."""

    def __init__(
        self,
        http: GuardedHttpClient,
        secret_box: SecretBox,
        *,
        timeout_seconds: float,
        tracer: Tracer | None = None,
    ) -> None:
        self._http = http
        self._secret_box = secret_box
        self._timeout_seconds = timeout_seconds
        self._tracer = tracer

    async def send(self, claimed: ClaimedDelivery) -> DeliveryAttempt:
        """Return the result of one attempt; failures are results, not exceptions."""
        trace = claimed.trace
        if self._tracer is None or trace is None:
            return await self._send(claimed, {})
        attempt = await self._send(claimed, trace.headers)
        began = attempt.started_at.timestamp()
        attributes: dict[str, str | int] = {
            "http.request.method": "POST",
            "slipstream.webhook.event": claimed.event,
            "slipstream.webhook.attempt": claimed.attempt,
        }
        if attempt.status_code is not None:
            attributes["http.response.status_code"] = attempt.status_code
        self._tracer.record(
            trace,
            "POST webhook",
            began,
            began + attempt.seconds,
            kind="client",
            attributes=attributes,
            error=attempt.error_code,
        )
        return attempt

    async def _send(
        self, claimed: ClaimedDelivery, trace_headers: Mapping[str, str]
    ) -> DeliveryAttempt:
        started_at, before = now(), time.monotonic()
        headers: dict[str, str] = {}
        try:
            headers = {**self._headers(claimed, int(started_at.timestamp())), **trace_headers}
            reply = await self._http.send(
                OutboundRequest(
                    method="POST",
                    url=claimed.url,
                    headers=headers,
                    body=claimed.payload,
                    max_bytes=_MAX_READ_BYTES,
                    truncate=True,
                ),
                asyncio.get_running_loop().time() + self._timeout_seconds,
            )
        except (GatewayError, SecretDecryptionError) as error:
            took = time.monotonic() - before
            code = "timeout" if took >= self._timeout_seconds else _code_of(error)
            return DeliveryAttempt(
                result=AttemptResult.BLOCKED if code == _BLOCKED else AttemptResult.FAILED,
                started_at=started_at,
                seconds=took,
                headers=headers,
                error_code=code,
                error_message=str(error)[:_MAX_MESSAGE_LENGTH],
            )
        took = time.monotonic() - before
        result = classify_response(reply.status, reply.headers)
        return DeliveryAttempt(
            result=result,
            started_at=started_at,
            seconds=took,
            headers=headers,
            status_code=reply.status,
            body=_stored_body(reply),
            retry_after=parse_retry_after(reply.headers.get("retry-after"), now()),
            error_code=None if result is AttemptResult.DELIVERED else f"http_{reply.status}",
        )

    def _headers(self, claimed: ClaimedDelivery, timestamp: int) -> dict[str, str]:
        secrets = [
            self._secret_box.decrypt(encrypted, claimed.endpoint_id)
            for encrypted in claimed.secrets
        ]
        signature = signature_header(secrets, claimed.message_id, timestamp, claimed.payload)
        return {
            "content-type": "application/json",
            "user-agent": _USER_AGENT,
            ID_HEADER: claimed.message_id,
            TIMESTAMP_HEADER: str(timestamp),
            SIGNATURE_HEADER: signature,
            "x-webhook-event": claimed.event,
            "x-webhook-attempt": str(claimed.attempt),
        }


def classify_response(status: int, headers: Mapping[str, str]) -> AttemptResult:
    """Return what a response means; `headers` by lower-case name."""
    if status // 100 == 2:  # noqa: PLR2004 - HTTP's class of successes
        return AttemptResult.DELIVERED
    if status == _GONE:
        return AttemptResult.GONE
    if headers.get("webhook-delivery", "").strip().lower() == _ABORT:
        return AttemptResult.ABORTED
    return AttemptResult.THROTTLED if status in _THROTTLES else AttemptResult.FAILED


def _stored_body(reply: OutboundResponse) -> bytes | None:
    """Return the start of a response, unless it could reveal something about private networks."""
    redirect = reply.status // 100 == 3  # noqa: PLR2004 - HTTP's class of redirects
    return reply.body[:_MAX_STORED_BYTES] if reply.public and not redirect else None


_BLOCKED = "blocked_target"
_CODES = {
    ErrorCode.BLOCKED_TARGET: _BLOCKED,
    ErrorCode.UPSTREAM_UNREACHABLE: "unreachable",
}


def _code_of(error: GatewayError | SecretDecryptionError) -> str:
    if isinstance(error, SecretDecryptionError):
        return "secret_unreadable"
    return _CODES.get(error.code, error.code.value)
