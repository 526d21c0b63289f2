"""What a route of FastAPI asks for: the identity behind a request, with the right scope."""

from __future__ import annotations

from typing import NamedTuple

from fastapi import Request, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from gateway.auth.authenticator import Authenticator
from gateway.auth.identity import Identity, Scope
from gateway.errors import GatewayError
from gateway.limits.room import LimitRoom
from gateway.limits.visit import Visit
from gateway.storage.trail import ACTOR, Actor
from protos.errors import ErrorCode

_HEADER = APIKeyHeader(name="X-API-Key", auto_error=False, scheme_name="API key")
_BEARER = HTTPBearer(auto_error=False, scheme_name="API key as bearer token")


class Visitor(NamedTuple):
    """Who looks at runs, and what limits the look."""

    identity: Identity
    visit: Visit


class Access:
    """Dependencies for routes: `actor: Identity = Depends(access.manager)`."""

    def __init__(self, authenticator: Authenticator, limits: LimitRoom) -> None:
        self._authenticator = authenticator
        self._limits = limits

    async def caller(
        self,
        request: Request,
        key: str | None = Security(_HEADER),
        bearer: HTTPAuthorizationCredentials | None = Security(_BEARER),
    ) -> Identity:
        """Return the holder of any active key.

        Raises:
            GatewayError: what `Authenticator.authenticate` raises; TOO_MANY_FAILURES where the
                address has failed too often.
        """
        presented = key or (bearer.credentials if bearer else None)
        identity = self._authenticator.identify(presented) if presented else None
        if identity is None:
            address = request.client.host if request.client else ""
            attempt = self._authenticator.authenticate(presented)
            identity = await self._limits.failures.watch(address, attempt)
        ACTOR.set(_actor(request, identity))
        return identity

    async def visitor(
        self,
        request: Request,
        key: str | None = Security(_HEADER),
        bearer: HTTPAuthorizationCredentials | None = Security(_BEARER),
    ) -> Visitor:
        """Return who looks at runs, counted apart from calls; raise RATE_LIMITED as well."""
        identity = await self.caller(request, key, bearer)
        subject = identity.key_id or identity.profile_id
        visit = Visit(self._limits.gates, subject, identity.limits)
        visit.headers = request.scope["state"]["headers"]
        await visit.begin()
        return Visitor(identity, visit)

    async def manager(
        self,
        request: Request,
        key: str | None = Security(_HEADER),
        bearer: HTTPAuthorizationCredentials | None = Security(_BEARER),
    ) -> Identity:
        """Return the holder of a `manage` key; raise API_KEY_FORBIDDEN for another key."""
        identity = await self.caller(request, key, bearer)
        if identity.scope is not Scope.MANAGE:
            message = "this key may only trigger deployments: use a key of scope 'manage'"
            raise GatewayError(ErrorCode.API_KEY_FORBIDDEN, message)
        return identity


def _actor(request: Request, identity: Identity) -> Actor:
    """Return who acts, as the trail of acts names them."""
    return Actor(
        profile_id=identity.profile_id,
        key_id=identity.key_id,
        address=request.client.host if request.client else None,
        request_id=request.scope["state"]["request_id"].decode(),
    )
