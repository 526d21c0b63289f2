"""SQL statements on endpoints and deliveries, built once.

Times come from the database's clock (`seconds_from_now`). Statements that a partial index serves
spell out its condition as the index does.
"""

from __future__ import annotations

from typing import cast

import sqlalchemy as sa

from gateway.storage.run_tables import RunRow
from gateway.storage.sql import in_list, seconds_from_now, sql_literal
from gateway.storage.tables import Deployment
from gateway.storage.webhook_tables import WebhookAttempt, WebhookDelivery, WebhookEndpoint
from gateway.webhooks.events import ENDINGS
from gateway.webhooks.retry_policy import FIRST_SECONDS
from gateway.webhooks.states import AttemptResult, DeliveryStatus, EndpointState

ENDPOINTS = cast("sa.Table", WebhookEndpoint.__table__)
DELIVERIES = cast("sa.Table", WebhookDelivery.__table__)
ATTEMPTS = cast("sa.Table", WebhookAttempt.__table__)
_DEPLOYMENTS = cast("sa.Table", Deployment.__table__)
_RUNS = cast("sa.Table", RunRow.__table__)
_DAY_SECONDS = 86_400.0


def seconds(name: str) -> sa.BindParameter[float]:
    """Return a parameter that is a number of seconds, or None."""
    return sa.bindparam(name, type_=sa.Float())


PENDING = DELIVERIES.c.status == sql_literal(DeliveryStatus.PENDING)
"""The condition of the partial indexes."""
_UNSENT = DELIVERIES.c.status.in_(
    [sql_literal(DeliveryStatus.PENDING), sql_literal(DeliveryStatus.HELD)]
)
_IS_DUE = DELIVERIES.c.due_at <= seconds_from_now()
_NOTIFIES = sa.and_(
    _DEPLOYMENTS.c.notification_method == sql_literal("webhook"),
    _DEPLOYMENTS.c.status != sql_literal("deleted"),
)
_WITH_DEPLOYMENT = ENDPOINTS.join(_DEPLOYMENTS, _DEPLOYMENTS.c.id == ENDPOINTS.c.deployment_id)
_THIS_ENDPOINT = ENDPOINTS.c.id == sa.bindparam("of_endpoint")

SUBSCRIBED = (
    sa.select(
        ENDPOINTS.c.id,
        ENDPOINTS.c.deployment_id,
        ENDPOINTS.c.profile_id,
        ENDPOINTS.c.state,
        _DEPLOYMENTS.c.webhook_events,
        _DEPLOYMENTS.c.include_node_outputs,
    )
    .select_from(_WITH_DEPLOYMENT)
    .where(in_list(_DEPLOYMENTS.c.id, "deployment_ids"), _NOTIFIES)
)
"""The endpoints of some deployments, with the events they subscribe to."""

_OLDEST = (
    sa.select(DELIVERIES.c.due_at)
    .where(DELIVERIES.c.endpoint_id == ENDPOINTS.c.id, PENDING, _IS_DUE)
    .order_by(DELIVERIES.c.due_at)
    .limit(1)
    .correlate(ENDPOINTS)
    .scalar_subquery()
)
_READY = (
    sa.select(ENDPOINTS.c.id, ENDPOINTS.c.failures, _OLDEST.label("oldest"))
    .select_from(_WITH_DEPLOYMENT)
    .where(
        ENDPOINTS.c.state == sql_literal(EndpointState.ENABLED),
        sa.or_(ENDPOINTS.c.paused_until.is_(None), ENDPOINTS.c.paused_until <= seconds_from_now()),
        sa.not_(in_list(ENDPOINTS.c.id, "busy")),
        _NOTIFIES,
    )
    .subquery()
)
READY = (
    sa.select(_READY)
    .where(_READY.c.oldest.is_not(None))
    .order_by(_READY.c.oldest)
    .limit(sa.bindparam("most", type_=sa.Integer()))
)
"""Endpoints with due deliveries: one index look-up per existing endpoint."""

DUE = (
    sa.select(DELIVERIES.c.id)
    .where(DELIVERIES.c.endpoint_id == sa.bindparam("of_endpoint"), PENDING, _IS_DUE)
    .order_by(DELIVERIES.c.due_at)
    .limit(sa.bindparam("most", type_=sa.Integer()))
    .with_for_update(skip_locked=True)
)

CLAIM = (
    sa.update(DELIVERIES)
    .where(
        in_list(DELIVERIES.c.id, "ids"),
        DELIVERIES.c.status.concat(sql_literal("")) == sql_literal(DeliveryStatus.PENDING),
    )
    .values(
        due_at=seconds_from_now(seconds("lease_seconds")),
        attempts=DELIVERIES.c.attempts + 1,
        last_attempt_at=seconds_from_now(),
    )
    .returning(DELIVERIES)
)
"""The claim is a lease: the delivery is due again, for any process, when it expires."""

ADDRESSES = (
    sa.select(
        ENDPOINTS.c.id,
        ENDPOINTS.c.secret,
        ENDPOINTS.c.previous_secret,
        ENDPOINTS.c.failures,
        (ENDPOINTS.c.overlap_until > seconds_from_now()).label("overlaps"),
        _DEPLOYMENTS.c.callback_url,
    )
    .select_from(_WITH_DEPLOYMENT)
    .where(in_list(ENDPOINTS.c.id, "endpoint_ids"))
)

HOLD_OTHERS = (
    sa.update(ENDPOINTS)
    .where(_THIS_ENDPOINT)
    .values(paused_until=seconds_from_now(seconds("lease_seconds")))
)
"""While one attempt finds out whether the receiver has recovered."""

TRACES = sa.select(_RUNS.c.id, _RUNS.c.traceparent, _RUNS.c.tracestate).where(
    in_list(_RUNS.c.id, "run_ids"), _RUNS.c.traceparent.is_not(None)
)

ENDED_RUNS = sa.select(DELIVERIES.c.run_id).where(
    in_list(DELIVERIES.c.run_id, "run_ids"),
    DELIVERIES.c.run_id.is_not(None),
    DELIVERIES.c.event.in_([sql_literal(event) for event in ENDINGS]),
    DELIVERIES.c.status == sql_literal(DeliveryStatus.DELIVERED),
)
SUPERSEDE = (
    sa.update(DELIVERIES)
    .where(in_list(DELIVERIES.c.id, "ids"))
    .values(status=sql_literal(DeliveryStatus.SUPERSEDED), due_at=sa.null())
)

_HELD = DELIVERIES.c.status == sql_literal(DeliveryStatus.HELD)
_NEW_STATUS = sa.bindparam("new_status", type_=sa.String())
_NOT_DELIVERED = sa.not_(_NEW_STATUS.in_([sql_literal(DeliveryStatus.DELIVERED)]))
SETTLE = (
    sa.update(DELIVERIES)
    .where(
        DELIVERIES.c.id == sa.bindparam("delivery"),
        DELIVERIES.c.attempts == sa.bindparam("held_attempt"),
        _UNSENT,
    )
    .values(
        # Disabled meanwhile: an undelivered event is held like the others.
        status=sa.case(
            (
                sa.and_(_HELD, _NOT_DELIVERED),
                sql_literal(DeliveryStatus.HELD),
            ),
            else_=_NEW_STATUS,
        ),
        due_at=sa.case((_HELD, sa.null()), else_=seconds_from_now(seconds("pause_seconds"))),
        failures=DELIVERIES.c.failures + sa.bindparam("more_failures", type_=sa.Integer()),
        delivered_at=sa.func.coalesce(
            seconds_from_now(seconds("since_delivered")), DELIVERIES.c.delivered_at
        ),
        last_status_code=sa.bindparam("code"),
        last_error=sa.bindparam("trouble"),
    )
)
"""The result of an attempt; no row matches if another process holds the delivery by now."""
INSERT_ATTEMPTS = sa.insert(ATTEMPTS)

RECOVERED = (
    sa.update(ENDPOINTS)
    .where(_THIS_ENDPOINT, ENDPOINTS.c.failures > 0)
    .values(failures=0, failing_since=sa.null(), paused_until=sa.null())
)
FAILED = (
    sa.update(ENDPOINTS)
    .where(_THIS_ENDPOINT)
    .values(
        failures=ENDPOINTS.c.failures + sa.bindparam("more_failures", type_=sa.Integer()),
        failing_since=sa.func.coalesce(ENDPOINTS.c.failing_since, seconds_from_now()),
    )
    .returning(
        ENDPOINTS.c.failures,
        (ENDPOINTS.c.failing_since <= seconds_from_now(seconds("long_ago"))).label("for_long"),
        (ENDPOINTS.c.failing_since > seconds_from_now(-FIRST_SECONDS)).label("recent"),
    )
)
PAUSE = (
    sa.update(ENDPOINTS)
    .where(_THIS_ENDPOINT)
    .values(paused_until=seconds_from_now(seconds("pause_seconds")))
)
FAILED_TODAY = (
    sa.select(sa.func.count())
    .select_from(ATTEMPTS)
    .where(
        ATTEMPTS.c.endpoint_id == sa.bindparam("of_endpoint"),
        ATTEMPTS.c.started_at > seconds_from_now(-_DAY_SECONDS),
        ATTEMPTS.c.result != sql_literal(AttemptResult.DELIVERED),
    )
)

DISABLE = (
    sa.update(ENDPOINTS)
    .where(_THIS_ENDPOINT, ENDPOINTS.c.state == sql_literal(EndpointState.ENABLED))
    .values(
        state=sql_literal(EndpointState.DISABLED),
        disabled_reason=sa.bindparam("why"),
        disabled_at=seconds_from_now(),
    )
    .returning(ENDPOINTS.c.deployment_id, ENDPOINTS.c.profile_id)
)
HOLD = (
    sa.update(DELIVERIES)
    .where(DELIVERIES.c.endpoint_id == sa.bindparam("of_endpoint"), PENDING)
    .values(status=sql_literal(DeliveryStatus.HELD), due_at=sa.null())
)
"""Pending deliveries of a disabled endpoint; those in flight may still be delivered."""

CANCEL = (
    sa.update(DELIVERIES)
    .where(DELIVERIES.c.endpoint_id == sa.bindparam("of_endpoint"), _UNSENT)
    .values(status=sql_literal(DeliveryStatus.CANCELLED), due_at=sa.null())
)

_WITH_PENDING = DELIVERIES.c.deployment_id.concat(sql_literal(""))
"""Not the column itself, by whose index SQLite would read the delivered ones, too."""
OLDEST_PENDING = (
    sa.select(
        _WITH_PENDING.label("deployment_id"), sa.func.min(DELIVERIES.c.created_at).label("oldest")
    )
    .where(PENDING)
    .group_by(_WITH_PENDING)
    .order_by(sa.func.min(DELIVERIES.c.created_at))
)

DELETE_ATTEMPTS = sa.delete(ATTEMPTS).where(in_list(ATTEMPTS.c.delivery_id, "ids"))
DELETE_DELIVERIES = sa.delete(DELIVERIES).where(in_list(DELIVERIES.c.id, "ids"))
