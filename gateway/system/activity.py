"""What the deployments of an installation do: calls of the last minutes, backlog, webhooks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from gateway.deployments.settings import DeploymentStatus
from gateway.runs.sweep_queries import COUNT_BACKLOG
from gateway.storage.database import Database
from gateway.storage.sql import in_list, seconds_from_now
from gateway.storage.tables import Deployment
from gateway.storage.usage_tables import UsageMinute
from gateway.storage.webhook_tables import WebhookEndpoint
from gateway.webhooks.states import DisabledReason, EndpointState

MINUTES = 5
"""Over which calls are counted: the present minute, and those before it."""
_NAMES = sa.select(Deployment.id, Deployment.name).where(in_list(Deployment.id, "ids"))


class WebhookTrouble(StrEnum):
    """Why a webhook does not deliver."""

    FAILING = "failing"
    """The last attempts have failed; more follow."""
    PAUSED = "paused"
    """The circuit breaker keeps it from sending for a while."""
    DISABLED = "disabled"
    """It failed for days, or its receiver is gone: it sends nothing until it is enabled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentActivity:
    """What one deployment does."""

    id: str
    """Id of the deployment."""
    name: str
    """Its name; its id where it has been removed."""
    calls_per_minute: float
    """Of the last 5 minutes."""
    errors: int
    """Calls answered with an error, and runs that ended without a result, in these minutes."""
    queued: int
    """How many of its runs wait."""
    oldest_seconds: float | None
    """For how long the oldest of them waits; null: none does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookProblem:
    """A webhook that does not deliver."""

    deployment_id: str
    """Id of its deployment."""
    deployment: str
    """The name of its deployment."""
    trouble: WebhookTrouble
    """Why it does not deliver."""
    failures: int
    """Attempts that have failed since the last one that did not."""


class ActivityStore:
    """Reads; each method is one transaction."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def deployments(self) -> Sequence[DeploymentActivity]:
        """Return what those deployments do that are called or have runs that wait; busiest first.

        Gateways write their counts every 5 seconds.
        """
        usage = UsageMinute
        async with self._db.read() as session:
            now = (await session.execute(sa.select(seconds_from_now()))).scalar_one()
            first = now.replace(second=0, microsecond=0) - timedelta(minutes=MINUTES - 1)
            counted = await session.execute(
                sa.select(
                    usage.deployment_id,
                    sa.func.sum(usage.calls).label("calls"),
                    sa.func.sum(usage.errors + usage.run_errors).label("errors"),
                )
                .where(usage.began_at >= first)
                .group_by(usage.deployment_id)
            )
            counts = {row.deployment_id: row for row in counted}
            waiting = await session.execute(COUNT_BACKLOG)
            queues: dict[str, list[sa.Row[Any]]] = {}
            for row in waiting:
                queues.setdefault(row.deployment_id, []).append(row)
            ids = {"ids": sorted({*counts, *queues})}
            rows = await session.execute(_NAMES, ids)
            names = {row.id: row.name for row in rows}
        minutes = (now - first) / timedelta(minutes=1)
        found = [
            DeploymentActivity(
                id=id_,
                name=names.get(id_, id_),
                calls_per_minute=int(counts[id_].calls) / minutes if id_ in counts else 0.0,
                errors=int(counts[id_].errors) if id_ in counts else 0,
                queued=sum(row.runs for row in queues.get(id_, ())),
                oldest_seconds=max(
                    ((row.now - row.since).total_seconds() for row in queues.get(id_, ())),
                    default=None,
                ),
            )
            for id_ in {*counts, *queues}
        ]
        return sorted(found, key=lambda it: (-it.calls_per_minute, -it.queued, it.name))

    async def webhook_problems(self) -> Sequence[WebhookProblem]:
        """Return the webhooks that do not deliver, by the names of their deployments.

        Those that a user has disabled are as they should be.
        """
        endpoint = WebhookEndpoint
        is_paused = endpoint.paused_until > seconds_from_now()
        trouble = sa.case(
            (endpoint.state != EndpointState.ENABLED, WebhookTrouble.DISABLED),
            (is_paused, WebhookTrouble.PAUSED),
            else_=WebhookTrouble.FAILING,
        )
        statement = (
            sa.select(endpoint.deployment_id, Deployment.name, trouble, endpoint.failures)
            .join(Deployment, Deployment.id == endpoint.deployment_id)
            .where(
                Deployment.notification_method == "webhook",
                Deployment.status != DeploymentStatus.DELETED,
                sa.or_(
                    sa.and_(endpoint.state == EndpointState.ENABLED, endpoint.failures > 0),
                    endpoint.disabled_reason != DisabledReason.BY_USER,
                ),
            )
            .order_by(Deployment.name, endpoint.deployment_id)
        )
        async with self._db.read() as session:
            return [
                WebhookProblem(
                    deployment_id=deployment_id,
                    deployment=name,
                    trouble=WebhookTrouble(reason),
                    failures=failures,
                )
                for deployment_id, name, reason, failures in await session.execute(statement)
            ]
