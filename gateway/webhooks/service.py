"""Management of a profile's webhooks: read, rotate, test, replay, enable and disable."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol, cast

from sqlalchemy import CursorResult, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.errors import GatewayError
from gateway.storage.changes import ChangeKind, record_change
from gateway.storage.clock import now
from gateway.storage.database import Database
from gateway.storage.ownership import find_owned
from gateway.storage.paging import Page, PageRequest, fetch_page
from gateway.storage.sql import seconds_from_now
from gateway.storage.tables import Deployment
from gateway.storage.user_storage import check_room
from gateway.storage.webhook_tables import WebhookDelivery, WebhookEndpoint
from gateway.webhooks import listing
from gateway.webhooks.audit_events import public_fields, record_webhook_event
from gateway.webhooks.endpoints import find_endpoint
from gateway.webhooks.events import TEST_EVENT, WebhookEvent, payload_of_test
from gateway.webhooks.listing import DeliveryDetail, DeliveryFilter
from gateway.webhooks.outbox import delivery_values, insert_deliveries, message_id_for
from gateway.webhooks.secret_box import SecretBox
from gateway.webhooks.signature import new_secret
from gateway.webhooks.states import DeliveryStatus, DisabledReason, EndpointState
from gateway.webhooks.store import disable
from protos.errors import ErrorCode

OVERLAP = timedelta(hours=24)
"""After a rotation, during which the previous secret signs, too."""
_TEST_DUE_SECONDS = 3600.0
"""A test is sent by the process that wrote it; dispatchers must not claim it before."""
_UNSENT = (DeliveryStatus.FAILED, DeliveryStatus.HELD)


class DeliveryTrigger(Protocol):
    """Sends deliveries: the dispatcher, or for tests the command line's own process."""

    def wake(self) -> None:
        """Look for due deliveries now."""

    async def send_test(self, delivery_id: str) -> None:
        """Send a test event now, once; the result is in its row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointDetail:
    """An endpoint and its deployment, which has the URL and the events."""

    row: WebhookEndpoint
    deployment: Deployment
    secret: str | None = None
    """In plain text, only in the response to its creation."""


class WebhookService:
    """The webhooks of a profile's deployments."""

    def __init__(self, db: Database, secret_box: SecretBox, sender: DeliveryTrigger) -> None:
        self._db = db
        self._secret_box = secret_box
        self._sender = sender

    async def page(self, profile_id: str, request: PageRequest) -> Page[EndpointDetail]:
        """Return a page of the profile's endpoints in use, newest first."""
        statement = (
            select(WebhookEndpoint)
            .join(Deployment, Deployment.id == WebhookEndpoint.deployment_id)
            .where(
                WebhookEndpoint.profile_id == profile_id,
                Deployment.notification_method == "webhook",
            )
        )
        async with self._db.read() as session:
            page = await fetch_page(session, statement, WebhookEndpoint, request)
            ids = [row.deployment_id for row in page.items]
            found = await session.execute(select(Deployment).where(Deployment.id.in_(ids)))
            deployments = {row.id: row for row in found.scalars()}
        items = [
            EndpointDetail(row=row, deployment=deployments[row.deployment_id]) for row in page.items
        ]
        return Page(items=items, next_cursor=page.next_cursor)

    async def get(self, profile_id: str, deployment_id: str) -> EndpointDetail:
        """Return a deployment's endpoint.

        Raises:
            GatewayError: NOT_FOUND if the deployment does not exist, or has no webhook.
        """
        async with self._db.read() as session:
            return await _find(session, profile_id, deployment_id)

    async def change(
        self,
        profile_id: str,
        deployment_id: str,
        *,
        events: Sequence[WebhookEvent] | None = None,
        state: EndpointState | None = None,
    ) -> EndpointDetail:
        """Change the events, or enable or disable sending; None changes nothing.

        Enabling sends new events; held ones wait for a replay.

        Raises:
            GatewayError: as `get`.
        """
        async with self._db.write() as session:
            endpoint = await _find(session, profile_id, deployment_id, lock=True)
            row, deployment = endpoint.row, endpoint.deployment
            if state is EndpointState.ENABLED and row.state != state:
                before = public_fields(row)
                row.state, row.disabled_reason, row.disabled_at = state, None, None
                row.failures, row.failing_since, row.paused_until = 0, None, None
                await _record(session, "enable", endpoint, before)
            elif state is EndpointState.DISABLED:
                await disable(session, row.id, DisabledReason.BY_USER)
                await session.refresh(row)
            if events is not None:
                old: list[str] = deployment.webhook_events
                new: list[str] = list(dict.fromkeys(events))
                deployment.webhook_events = new
                await record_webhook_event(
                    session,
                    "update",
                    deployment_id=deployment.id,
                    owner_id=deployment.profile_id,
                    before={"events": old},
                    after={"events": new},
                )
                record_change(session, ChangeKind.DEPLOYMENT, deployment.id)
        self._sender.wake()
        return endpoint

    async def resume(self, profile_id: str, deployment_id: str) -> EndpointDetail:
        """End the pause of an endpoint that failed, and send now what waits for another attempt.

        Raises:
            GatewayError: as `get`; CONFLICT if the endpoint is disabled.
        """
        async with self._db.write() as session:
            endpoint = await _find(session, profile_id, deployment_id, lock=True)
            row = endpoint.row
            _check_enabled(row)
            row.failures, row.failing_since, row.paused_until = 0, None, None
            these = (
                WebhookDelivery.endpoint_id == row.id,
                WebhookDelivery.status == DeliveryStatus.PENDING,
                WebhookDelivery.event != TEST_EVENT,
            )
            done = await session.execute(_make_due(*these))
            await record_webhook_event(
                session,
                "resume",
                deployment_id=endpoint.deployment.id,
                owner_id=profile_id,
                after={"events": cast("CursorResult[Any]", done).rowcount},
            )
        self._sender.wake()
        return endpoint

    async def rotate(
        self, profile_id: str, deployment_id: str, *, force: bool = False
    ) -> EndpointDetail:
        """Give an endpoint a new secret, returned this once; for a day both sign.

        Raises:
            GatewayError: as `get`; CONFLICT within that day, unless `force` ends the overlap.
        """
        async with self._db.write() as session:
            endpoint = await _find(session, profile_id, deployment_id, lock=True)
            row, at, before = endpoint.row, now(), public_fields(endpoint.row)
            if row.overlap_until is not None and row.overlap_until > at and not force:
                until = row.overlap_until.isoformat(timespec="seconds")
                message = (
                    f"the previous secret signs until {until}: end the overlap first, or rotate "
                    "with force; receivers that still have the previous one reject events then"
                )
                raise GatewayError(ErrorCode.CONFLICT, message)
            secret = new_secret()
            row.previous_secret, row.secret = row.secret, self._secret_box.encrypt(secret, row.id)
            row.overlap_until, row.rotated_at = at + OVERLAP, at
            await _record(session, "rotate", endpoint, before)
        return EndpointDetail(row=row, deployment=endpoint.deployment, secret=secret)

    async def end_overlap(self, profile_id: str, deployment_id: str) -> EndpointDetail:
        """Let only the newest secret sign; idempotent.

        Raises:
            GatewayError: as `get`.
        """
        async with self._db.write() as session:
            endpoint = await _find(session, profile_id, deployment_id, lock=True)
            before = public_fields(endpoint.row)
            endpoint.row.previous_secret = endpoint.row.overlap_until = None
            await _record(session, "end_overlap", endpoint, before)
        return endpoint

    async def test(self, profile_id: str, deployment_id: str) -> DeliveryDetail:
        """Send a test event now, whatever the endpoint's state, and return the result.

        Raises:
            GatewayError: as `get`; STORAGE_QUOTA_EXCEEDED as `check_room`.
        """
        async with self._db.write() as session:
            await check_room(session, profile_id)
            endpoint = await _find(session, profile_id, deployment_id)
            values = delivery_values(
                endpoint.row,
                message_id=message_id_for(endpoint.row.id, secrets.token_hex(16), TEST_EVENT),
                event=TEST_EVENT,
                payload=payload_of_test(endpoint.deployment.id, now()),
                run_id=None,
            )
            # Not due for a while, so that no dispatcher claims it.
            values |= {"status": DeliveryStatus.PENDING, "due_seconds": _TEST_DUE_SECONDS}
            await insert_deliveries(session, [values])
        await self._sender.send_test(values["id"])
        self._sender.wake()  # it may have ended a pause
        return await self.delivery(profile_id, values["message_id"])

    async def deliveries(
        self, profile_id: str, which: DeliveryFilter, request: PageRequest
    ) -> Page[WebhookDelivery]:
        """Return a page of deliveries, newest first; see `listing.list_deliveries`."""
        async with self._db.read() as session:
            return await listing.list_deliveries(session, profile_id, which, request)

    async def delivery(self, profile_id: str, message_id: str) -> DeliveryDetail:
        """Return a delivery with its attempts, or raise GatewayError NOT_FOUND."""
        async with self._db.read() as session:
            found = await listing.find_delivery(session, profile_id, message_id)
            return await listing.with_attempts(session, found)

    async def replay(self, profile_id: str, message_id: str) -> DeliveryDetail:
        """Send a delivery again, under the same id, with a new schedule.

        Raises:
            GatewayError: NOT_FOUND; CONFLICT if its endpoint is disabled; STORAGE_QUOTA_EXCEEDED as
                `check_room`.
        """
        async with self._db.write() as session:
            await check_room(session, profile_id)
            found = await listing.find_delivery(session, profile_id, message_id)
            endpoint = await _find(session, profile_id, found.deployment_id, lock=True)
            _check_enabled(endpoint.row)
            endpoint.row.paused_until = None
            await session.execute(_make_due(WebhookDelivery.id == found.id))
            await session.refresh(found)
            shown = await listing.with_attempts(session, found)
        self._sender.wake()
        return shown

    async def replay_since(
        self, profile_id: str, deployment_id: str, since: datetime, *, only_failed: bool
    ) -> int:
        """Send the events since a time again, or only undelivered ones; return how many.

        Raises:
            GatewayError: as `get`; CONFLICT if the endpoint is disabled.
        """
        statuses = _UNSENT if only_failed else (*_UNSENT, DeliveryStatus.DELIVERED)
        async with self._db.write() as session:
            endpoint = await _find(session, profile_id, deployment_id, lock=True)
            _check_enabled(endpoint.row)
            endpoint.row.paused_until = None
            these = (
                WebhookDelivery.endpoint_id == endpoint.row.id,
                WebhookDelivery.deployment_id == endpoint.deployment.id,
                WebhookDelivery.created_at >= since,
                WebhookDelivery.status.in_(statuses),
                WebhookDelivery.event != TEST_EVENT,
            )
            done = await session.execute(_make_due(*these))
            await record_webhook_event(
                session,
                "replay",
                deployment_id=endpoint.deployment.id,
                owner_id=profile_id,
                after={"since": since, "only_failed": only_failed},
            )
        self._sender.wake()
        return cast("CursorResult[Any]", done).rowcount


async def _find(
    session: AsyncSession, profile_id: str, deployment_id: str, *, lock: bool = False
) -> EndpointDetail:
    deployment = await find_owned(session, Deployment, profile_id, deployment_id)
    row = await find_endpoint(session, deployment.id, lock=lock)
    if row is None or deployment.notification_method != "webhook":
        message = (
            f"deployment '{deployment.id}' has no webhook: set its callback_url, and "
            "notification_method to webhook"
        )
        raise GatewayError(ErrorCode.NOT_FOUND, message)
    return EndpointDetail(row=row, deployment=deployment)


async def _record(
    session: AsyncSession, verb: str, endpoint: EndpointDetail, before: Mapping[str, object]
) -> None:
    await record_webhook_event(
        session,
        verb,
        deployment_id=endpoint.deployment.id,
        owner_id=endpoint.deployment.profile_id,
        before=before,
        after=public_fields(endpoint.row),
    )


def _check_enabled(row: WebhookEndpoint) -> None:
    if row.state != EndpointState.ENABLED:
        message = (
            f"the webhook is disabled ({row.disabled_reason}): enable it, then replay what is held"
        )
        raise GatewayError(ErrorCode.CONFLICT, message)


# Any: conditions on WebhookDelivery
def _make_due(*these: Any) -> Any:
    """Return the statement that makes deliveries due again; the log of attempts stays."""
    return (
        update(WebhookDelivery)
        .where(*these)
        .values(status=DeliveryStatus.PENDING, due_at=seconds_from_now(), failures=0)
        .execution_options(synchronize_session=False)
    )
