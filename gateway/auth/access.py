"""FastAPI dependencies that authenticate a request and check its scope or role."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, NamedTuple

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyCookie, APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from gateway.auth.authentication import Authentication
from gateway.auth.identity import Identity, Scope, check_administers
from gateway.auth.proxies import TrustedProxies
from gateway.auth.request_credentials import SESSION_COOKIE
from gateway.auth.security_schemes import BEARER_KEY, HEADER_KEY, SESSION
from gateway.errors import GatewayError
from gateway.limits.rate_limiter import PollLimit
from gateway.limits.request_limits import RequestLimits
from gateway.storage.audit_events import ACTOR, Actor
from protos.errors import ErrorCode

_HEADER = APIKeyHeader(
    name="X-API-Key", auto_error=False, scheme_name=HEADER_KEY, description="An API key."
)
_BEARER = HTTPBearer(
    auto_error=False, scheme_name=BEARER_KEY, description="An API key as bearer token."
)
_SESSION = APIKeyCookie(
    name=SESSION_COOKIE,
    auto_error=False,
    scheme_name=SESSION,
    description=(
        "A console session. Every method but GET also needs the header `X-CSRF-Token`, with the "
        "`csrf_token` of `GET /node/session/`."
    ),
)
Session = Annotated[str | None, Security(_SESSION)]
"""Adds the session to the OpenAPI document; `Authentication` reads the cookie itself."""


async def _presented_key(
    key: Annotated[str | None, Security(_HEADER)],
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)],
    _: Session,
) -> str | None:
    return key or (bearer.credentials if bearer else None)


Key = Annotated[str | None, Depends(_presented_key)]
"""The API key of a request to a route that accepts sessions, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRequest:
    """A request made with a console session."""

    identity: Identity
    token: str


class Poller(NamedTuple):
    """The identity of a request that reads runs, and its rate limit."""

    identity: Identity
    poll: PollLimit


class Access:
    """Dependencies for routes: `actor: Identity = Depends(access.manager)`."""

    def __init__(
        self, authentication: Authentication, limits: RequestLimits, proxies: TrustedProxies
    ) -> None:
        self._authentication = authentication
        self._limits = limits
        self._proxies = proxies

    async def caller(self, request: Request, key: Key) -> Identity:
        """Return the identity behind a key or a session; see `Authentication.authenticate`.

        Raises:
            GatewayError: as that method; TOO_MANY_FAILURES after too many failures of the address.
        """
        actor = self.actor_of(request)
        address = actor.address or ""
        attempt = self._authentication.authenticate(request.method, _headers(request), key, address)
        identity = await self._limits.failed_auth.guard(address, attempt)
        ACTOR.set(_with_identity(actor, identity))
        return identity

    async def poller(self, request: Request, key: Key) -> Poller:
        """As `caller`, for reads of runs, which have a limit of their own; raise RATE_LIMITED."""
        identity = await self.caller(request, key)
        poll = PollLimit(self._limits.rate_limiter, identity.limit_key, identity.limits)
        poll.headers = request.scope["state"]["headers"]
        await poll.count_key()
        return Poller(identity, poll)

    async def manager(self, request: Request, key: Key) -> Identity:
        """As `caller`, for sessions and `manage` keys; raise API_KEY_FORBIDDEN for other keys."""
        identity = await self.caller(request, key)
        if identity.scope is not Scope.MANAGE:
            message = "this key may only trigger deployments: use a key of scope 'manage'"
            raise GatewayError(ErrorCode.API_KEY_FORBIDDEN, message)
        return identity

    async def administrator(self, request: Request, key: Key) -> Identity:
        """As `manager`, for the roles admin and owner; raise ROLE_FORBIDDEN for members."""
        identity = await self.manager(request, key)
        check_administers(identity)
        return identity

    async def session(self, request: Request, _: Session) -> SessionRequest:
        """Return the session behind a request; see `Authentication.authenticate_session`."""
        headers = _headers(request)
        identity, token = await self._authentication.authenticate_session(request.method, headers)
        ACTOR.set(_with_identity(self.actor_of(request), identity))
        return SessionRequest(identity=identity, token=token)

    async def same_origin(self, request: Request) -> None:
        """Raise CSRF_FAILED if a page of another site sent the request."""
        self._authentication.check_same_origin(_headers(request))

    def actor_of(self, request: Request) -> Actor:
        """Return the audit log's actor for a request that is not authenticated."""
        peer = request.client.host if request.client else ""
        return Actor(
            profile_id=None,
            address=self._proxies.client(peer, request.scope["headers"]) or None,
            request_id=request.scope["state"]["request_id"].decode(),
        )


def _headers(request: Request) -> dict[bytes, bytes]:
    return dict(request.scope["headers"])


def _with_identity(actor: Actor, identity: Identity) -> Actor:
    return replace(
        actor,
        profile_id=identity.profile_id,
        key_id=identity.key_id,
        session_id=identity.session_id,
    )
