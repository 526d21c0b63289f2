"""The gateway's side: deployments with webhooks, and ended runs that write events."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select

from gateway.ids import new_id
from gateway.runs.store import RunStore
from gateway.settings import Settings
from gateway.storage.webhook_tables import WebhookAttempt, WebhookDelivery
from tests.gateway.in_process_gateway import InProcessGateway, deploy, flow_json
from tests.gateway.runs.builders import finished
from tests.torture.processes import ReceiverProcess


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookTarget:
    """A deployment with a webhook."""

    path: str
    deployment_id: str
    flow_id: str
    profile_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRow:
    """A row of the deliveries table."""

    path: str
    run_id: str
    message_id: str
    status: str
    attempts: int
    created_at: datetime
    delivered_at: datetime | None


class EventSource:
    """Ends runs through the real store, which writes their events to the real outbox.

    It delivers nothing itself.
    """

    def __init__(self, settings: Settings, receiver: ReceiverProcess) -> None:
        self._gateway = InProcessGateway(settings)
        self._receiver = receiver
        self._secrets: dict[str, str] = {}
        self._targets: dict[str, WebhookTarget] = {}
        self._runs: RunStore = self._gateway._container.execution.store

    async def open(self, paths: Sequence[str]) -> list[WebhookTarget]:
        """Deploy a flow for each path and write the secrets for the receiver."""
        self._user = await self._gateway.user(f"{new_id()}@example.com")
        made = [await self._deploy(path) for path in paths]
        self._receiver.secrets.write_text(json.dumps(self._secrets))
        return made

    async def end_runs(self, targets: Sequence[WebhookTarget]) -> list[str]:
        """End one run per target, all in one transaction; return their ids."""
        batch = [
            finished(
                profile_id=target.profile_id,
                deployment_id=target.deployment_id,
                flow_id=target.flow_id,
            )
            for target in targets
        ]
        await self._runs.record_finished(batch)
        return [each.new.id for each in batch]

    async def set_enabled(self, targets: Sequence[WebhookTarget], *, on: bool) -> None:
        """Enable or disable endpoints; disabled ones hold their pending events."""
        state = "enabled" if on else "disabled"
        for target in targets:
            url = f"/node/webhooks/endpoints/{target.deployment_id}/"
            answer = await self._user.patch(url, json={"state": state})
            assert answer.status_code == 200, answer.text

    async def rows(self) -> list[DeliveryRow]:
        """Return all deliveries."""
        columns = WebhookDelivery
        query = select(
            columns.deployment_id,
            columns.run_id,
            columns.message_id,
            columns.status,
            columns.attempts,
            columns.created_at,
            columns.delivered_at,
        )
        mine = columns.deployment_id.in_(list(self._targets))
        async with self._gateway.db.read() as session:
            return [
                DeliveryRow(
                    path=self._targets[row.deployment_id].path,
                    run_id=row.run_id,
                    message_id=row.message_id,
                    status=row.status,
                    attempts=row.attempts,
                    created_at=row.created_at,
                    delivered_at=row.delivered_at,
                )
                for row in await session.execute(query.where(mine))
            ]

    async def undelivered(self, targets: Sequence[WebhookTarget]) -> int:
        """Return the number of events for these targets that are not marked as delivered."""
        ids = [target.deployment_id for target in targets]
        query = select(func.count()).where(
            WebhookDelivery.deployment_id.in_(ids), WebhookDelivery.status != "delivered"
        )
        async with self._gateway.db.read() as session:
            return int((await session.execute(query)).scalar_one())

    async def attempts_by_result(self) -> dict[str, int]:
        """Return the number of logged attempts by result."""
        ours = select(WebhookDelivery.id).where(
            WebhookDelivery.deployment_id.in_(list(self._targets))
        )
        query = (
            select(WebhookAttempt.result, func.count())
            .where(WebhookAttempt.delivery_id.in_(ours))
            .group_by(WebhookAttempt.result)
        )
        async with self._gateway.db.read() as session:
            return {row[0]: int(row[1]) for row in await session.execute(query)}

    async def close(self) -> None:
        """Close the gateway and its database."""
        await self._user.aclose()
        await self._gateway.close()

    async def _deploy(self, path: str) -> WebhookTarget:
        made = await deploy(
            self._user,
            flow_json(),
            notification_method="webhook",
            callback_url=self._receiver.url(path),
        )
        assert made["http"] == 201, made
        self._secrets[path] = made["webhook_secret"]
        target = WebhookTarget(
            path=path,
            deployment_id=made["id"],
            flow_id=made["flow_id"],
            profile_id=self._user.headers["x-test-profile"],
        )
        self._targets[target.deployment_id] = target
        return target
