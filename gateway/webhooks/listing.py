"""Queries of deliveries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import defer

from gateway.errors import GatewayError
from gateway.ids import normalize_id
from gateway.storage.paging import Page, PageRequest, fetch_page
from gateway.storage.webhook_tables import WebhookAttempt, WebhookDelivery
from gateway.webhooks.states import DeliveryStatus
from protos.errors import ErrorCode

_MAX_DELIVERIES = 10
"""Of a run, which has an event for its start and one for its end."""
_MAX_ATTEMPTS = 100
"""Of a delivery: the newest, where it was replayed often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryFilter:
    """Selects deliveries of a profile; None matches all."""

    deployment_id: str | None = None
    run_id: str | None = None
    status: DeliveryStatus | None = None
    event: str | None = None
    since: datetime | None = None
    before: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryDetail:
    """A delivery and its attempts, oldest first."""

    delivery: WebhookDelivery
    attempts: Sequence[WebhookAttempt]


async def list_deliveries(
    session: AsyncSession, profile_id: str, which: DeliveryFilter, request: PageRequest
) -> Page[WebhookDelivery]:
    """Return a page of the profile's deliveries, newest first, without their payloads.

    Raises:
        GatewayError: INVALID_REQUEST if the cursor is invalid.
    """
    statement = _filtered(profile_id, which).options(defer(WebhookDelivery.payload, raiseload=True))
    return await fetch_page(session, statement, WebhookDelivery, request)


async def find_delivery(session: AsyncSession, profile_id: str, message_id: str) -> WebhookDelivery:
    """Return the profile's delivery, or raise GatewayError NOT_FOUND."""
    statement = select(WebhookDelivery).where(WebhookDelivery.message_id == message_id)
    row = (await session.execute(statement)).scalar_one_or_none() if _is_text(message_id) else None
    if row is None or row.profile_id != profile_id:
        raise GatewayError(ErrorCode.NOT_FOUND, f"there is no delivery '{message_id}'")
    return row


async def with_attempts(session: AsyncSession, delivery: WebhookDelivery) -> DeliveryDetail:
    """Return a delivery and its attempts."""
    statement = (
        select(WebhookAttempt)
        .where(WebhookAttempt.delivery_id == delivery.id)
        .order_by(WebhookAttempt.number)
    )
    attempts = (await session.execute(statement)).scalars().all()
    return DeliveryDetail(delivery=delivery, attempts=attempts)


async def deliveries_of_run(session: AsyncSession, run_id: str) -> list[DeliveryDetail]:
    """Return the deliveries of a run's events, oldest first, with the newest of their attempts.

    Neither their payloads nor requests and answers are loaded.
    """
    of_run = (
        select(WebhookDelivery)
        .where(WebhookDelivery.run_id == run_id)
        .order_by(WebhookDelivery.created_at, WebhookDelivery.id)
        .limit(_MAX_DELIVERIES)
        .options(defer(WebhookDelivery.payload, raiseload=True))
    )
    deliveries = (await session.execute(of_run)).scalars().all()
    return [
        DeliveryDetail(delivery=one, attempts=await _newest_attempts(session, one.id))
        for one in deliveries
    ]


async def _newest_attempts(session: AsyncSession, delivery_id: str) -> Sequence[WebhookAttempt]:
    newest = (
        select(WebhookAttempt)
        .where(WebhookAttempt.delivery_id == delivery_id)
        .order_by(WebhookAttempt.number.desc())
        .limit(_MAX_ATTEMPTS)
        .options(
            defer(WebhookAttempt.request_headers, raiseload=True),
            defer(WebhookAttempt.response_body, raiseload=True),
        )
    )
    return (await session.execute(newest)).scalars().all()[::-1]


def _filtered(profile_id: str, which: DeliveryFilter) -> Select[WebhookDelivery]:
    query = select(WebhookDelivery).where(WebhookDelivery.profile_id == profile_id)
    if which.deployment_id is not None:
        query = query.where(WebhookDelivery.deployment_id == normalize_id(which.deployment_id))
    if which.run_id is not None:
        query = query.where(WebhookDelivery.run_id == normalize_id(which.run_id))
    if which.status is not None:
        query = query.where(WebhookDelivery.status == which.status)
    if which.event is not None:
        query = query.where(WebhookDelivery.event == which.event)
    if which.since is not None:
        query = query.where(WebhookDelivery.created_at >= which.since)
    if which.before is not None:
        query = query.where(WebhookDelivery.created_at < which.before)
    return query


def _is_text(text: str) -> bool:
    return text.isascii() and text.isprintable()
