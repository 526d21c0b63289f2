"""Endpoints of deployments: a callback URL that may be called, and a secret."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.errors import GatewayError
from gateway.ids import new_id
from gateway.storage.tables import Deployment
from gateway.storage.webhook_tables import WebhookEndpoint
from gateway.webhooks import statements as sql
from gateway.webhooks.audit_events import record_webhook_event
from gateway.webhooks.secret_box import SecretBox
from gateway.webhooks.signature import new_secret
from protos.errors import ErrorCode

_RESOLVE_SECONDS = 5.0


class EndpointLifecycle:
    """Creates, updates and deletes a deployment's endpoint in the transaction that saves it."""

    def __init__(
        self, secret_box: SecretBox, check_target: Callable[[str], Awaitable[None]]
    ) -> None:
        """`check_target` is `GuardedHttpClient.check`."""
        self._secret_box = secret_box
        self._check_target = check_target

    async def check_url(self, url: str | None) -> None:
        """Check that `url` may be called, if there is one. Before any transaction: it resolves.

        A name without an address is accepted: each attempt resolves it again.

        Raises:
            GatewayError: BLOCKED_TARGET.
        """
        if url is None:
            return
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(_RESOLVE_SECONDS):
                    await self._check_target(url)
        except GatewayError as error:
            if error.code is ErrorCode.BLOCKED_TARGET:
                message = f"callback_{error.message}"
                fault = {"detail": message, "pointer": "#/callback_url"}
                raise GatewayError(error.code, message, errors=[fault]) from None

    async def sync(self, session: AsyncSession, deployment: Deployment) -> str | None:
        """Create the endpoint that a saved deployment needs, and return its secret, this once.

        None if it has one already or needs none; then pending deliveries are cancelled.
        """
        endpoint = await find_endpoint(session, deployment.id)
        if deployment.notification_method != "webhook":
            if endpoint is not None:
                await session.execute(sql.CANCEL, {"of_endpoint": endpoint.id})
            return None
        if endpoint is not None:
            return None
        secret, endpoint_id = new_secret(), new_id()
        session.add(
            WebhookEndpoint(
                id=endpoint_id,
                profile_id=deployment.profile_id,
                deployment_id=deployment.id,
                secret=self._secret_box.encrypt(secret, endpoint_id),
            )
        )
        await session.flush()
        await record_webhook_event(
            session,
            "create",
            deployment_id=deployment.id,
            owner_id=deployment.profile_id,
            after={"callback_url": deployment.callback_url, "events": deployment.webhook_events},
        )
        return secret

    async def delete(self, session: AsyncSession, deployment_id: str) -> None:
        """Cancel pending deliveries and delete the secrets of a deleted deployment."""
        endpoint = await find_endpoint(session, deployment_id)
        if endpoint is not None:
            await session.execute(sql.CANCEL, {"of_endpoint": endpoint.id})
            await session.execute(delete(WebhookEndpoint).where(WebhookEndpoint.id == endpoint.id))


async def find_endpoint(
    session: AsyncSession, deployment_id: str, *, lock: bool = False
) -> WebhookEndpoint | None:
    """Return a deployment's endpoint, if it has one; `lock` locks its row."""
    statement = select(WebhookEndpoint).where(WebhookEndpoint.deployment_id == deployment_id)
    if lock:
        statement = statement.with_for_update()
    return (await session.execute(statement)).scalar_one_or_none()
