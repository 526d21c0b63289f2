"""The receiver as an ASGI application."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx
import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from gateway.storage.clock import now
from gateway.webhooks.diagnosis import diagnose
from gateway.webhooks.findings import Diagnosis
from gateway.webhooks.verdict_schemas import FindingOut, letter_of
from slipstream.listener.ledger import Arrival, Ledger, Summary

_MOST_BYTES = 4 * 1024 * 1024
"""Of a body: no event has more than 256 KiB."""
_LONGEST = 100
"""Characters of what is shown from strangers."""
_FORWARD_SECONDS = 14.0
"""Within the sender's 15."""
_NOT_FORWARDED = frozenset({"host", "connection", "content-length", "transfer-encoding"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the receiver shall do."""

    secret: str | None
    """None verifies nothing."""
    forward_to: str | None = None
    """URL that gets what is good; its answer is ours."""
    fail: float = 0.0
    """Share of good requests that are answered 503."""


class Receiver:
    """Takes whatever is posted, to any path."""

    def __init__(self, wishes: Wishes, tell: Callable[[Arrival], None]) -> None:
        self._wishes = wishes
        self._tell = tell
        self._ledger = Ledger()
        self._http = httpx.AsyncClient(timeout=_FORWARD_SECONDS, trust_env=False)

    def application(self) -> Starlette:
        """Return it as ASGI."""
        return Starlette(
            routes=[Route("/{path:path}", self._take, methods=["POST"])], lifespan=self._lifespan
        )

    def summary(self) -> Summary:
        """Return the sum of all that came."""
        return self._ledger.summary()

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        async with self._http:
            yield

    async def _take(self, request: Request) -> Response:
        at = now()
        body = await _body(request)
        if body is None:
            return PlainTextResponse("more than 4 MiB\n", 413)
        diagnosis = await self._judge(request, body, at)
        bad = diagnosis is not None and not diagnosis.good
        message_id = request.headers.get("webhook-id")
        # What nobody has signed must not make an event look like one that was had.
        times, taken = self._ledger.seen(message_id) if message_id and not bad else (1, False)
        on_purpose = not bad and random.random() < self._wishes.fail  # noqa: S311
        status, note = 401, "the signature is not good"
        if on_purpose:
            status, note = 503, "on purpose: --fail"
        elif not bad:
            status, note = await self._answer(request, body)
        arrival = _arrival(request, body, at, diagnosis, status)
        arrival.times, arrival.duplicate, arrival.note = times, taken, note or None
        self._ledger.note(arrival, on_purpose=on_purpose)
        self._tell(arrival)
        return PlainTextResponse(f"{note or 'thanks'}\n", status)

    async def _judge(self, request: Request, body: bytes, at: datetime) -> Diagnosis | None:
        secret = self._wishes.secret
        if secret is None:
            return None
        letter = letter_of(request.headers, body)
        return await asyncio.to_thread(diagnose, letter, secret, at=at.timestamp())

    async def _answer(self, request: Request, body: bytes) -> tuple[int, str]:
        url = self._wishes.forward_to
        if url is None:
            return 200, ""
        headers = [pair for pair in request.headers.items() if pair[0] not in _NOT_FORWARDED]
        try:
            answer = await self._http.post(url, content=body, headers=headers)
        except httpx.HTTPError as error:
            return 502, f"{url} does not answer: {error or type(error).__name__}"
        return answer.status_code, f"from {url}"


def _arrival(
    request: Request, body: bytes, at: datetime, diagnosis: Diagnosis | None, status: int
) -> Arrival:
    event = _event(body)
    data = event.get("data")
    run_id = data.get("flow_run_id") if isinstance(data, dict) else None
    headers = request.headers
    findings = diagnosis.findings if diagnosis else ()
    return Arrival(
        at=at.isoformat(timespec="milliseconds"),
        id=_text(headers.get("webhook-id")),
        event=_text(event.get("type")) or _text(headers.get("x-webhook-event")),
        flow_run_id=_text(run_id),
        attempt=_text(headers.get("x-webhook-attempt")),
        verified=diagnosis.good if diagnosis else None,
        findings=[FindingOut.model_validate(finding) for finding in findings],
        times=1,
        duplicate=False,
        after_seconds=_seconds_since(event.get("timestamp"), at),
        status=status,
    )


# Any, here and below: JSON that anybody may have sent
def _event(body: bytes) -> dict[str, Any]:
    try:
        event = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return event if isinstance(event, dict) else {}


def _text(value: Any) -> str | None:
    """Return what may be put on a terminal."""
    shown = isinstance(value, str) and value.isprintable() and len(value) <= _LONGEST
    return value if shown else None


def _seconds_since(moment: Any, at: datetime) -> float | None:
    try:
        return round((at - datetime.fromisoformat(moment)).total_seconds(), 3)
    except (TypeError, ValueError):
        return None


async def _body(request: Request) -> bytes | None:
    """Return the body; None where it is too long."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > _MOST_BYTES:
            return None
    return bytes(body)
