"""FastAPI dependencies that authenticate a request and check its scope or role.

A request is authenticated by its headers, once, before its body is read: see
`gateway.operations.before_body`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, NamedTuple

from fastapi import Depends, Request

from gateway.auth.authentication import Authentication
from gateway.auth.identity import Identity, Scope, check_administers
from gateway.auth.metrics_access import MetricsAccess
from gateway.auth.proxies import TrustedProxies
from gateway.auth.request_credentials import presented_key
from gateway.auth.security_schemes import ANY_SECURITY, SESSION_SECURITY
from gateway.auth.session_cookie import session_token
from gateway.dependencies import from_app, service_of
from gateway.errors import GatewayError
from gateway.limits.rate_limiter import PollLimit
from gateway.limits.request_limits import RequestLimits
from gateway.operations import accepts, before_body
from gateway.storage.audit_events import ACTOR, Actor
from protos.errors import ErrorCode

_Limits = Annotated[RequestLimits, from_app(RequestLimits)]


async def sender(request: Request) -> Actor:
    """Return the audit log's actor for a request that is not authenticated."""
    return _sender_of(request)


Sender = Annotated[Actor, Depends(sender)]


async def _authenticate(request: Request) -> None:
    """Find the identity behind a key or a session; see `Authentication.authenticate`.

    Raises:
        GatewayError: as that method; TOO_MANY_FAILURES after too many failures of the address.
    """
    headers, sender = _headers(request), _sender_of(request)
    attempt = service_of(request, Authentication).authenticate(
        request.method, headers, presented_key(headers), sender.address or ""
    )
    identity = await service_of(request, RequestLimits).failed_auth.guard(
        sender.address or "", attempt
    )
    request.scope["state"]["identity"] = identity
    ACTOR.set(_with_identity(sender, identity))


@before_body(_authenticate)
@accepts(ANY_SECURITY)
async def caller(request: Request) -> Identity:
    """Return the identity behind the request's key or session."""
    identity: Identity = request.scope["state"]["identity"]
    return identity


Caller = Annotated[Identity, Depends(caller)]


class CountedCaller(NamedTuple):
    """The identity of a request that reads runs, and its rate limit."""

    identity: Identity
    poll: PollLimit


async def poller(request: Request, identity: Caller, limits: _Limits) -> CountedCaller:
    """As `caller`, for reads of runs, which have a limit of their own; raise RATE_LIMITED."""
    poll = PollLimit(limits.rate_limiter, identity.limit_key, identity.limits)
    poll.headers = request.scope["state"]["headers"]
    await poll.count_key()
    return CountedCaller(identity, poll)


Poller = Annotated[CountedCaller, Depends(poller)]


async def manager(identity: Caller) -> Identity:
    """As `caller`, for sessions and `manage` keys; raise API_KEY_FORBIDDEN for other keys."""
    _check_manages(identity)
    return identity


Manager = Annotated[Identity, Depends(manager)]


async def _authenticate_if_given(request: Request) -> None:
    """As `_authenticate`; a request without a credential, or whose session has ended, may pass."""
    headers = _headers(request)
    if not presented_key(headers) and session_token(headers) is None:
        return
    try:
        await _authenticate(request)
    except GatewayError as error:
        if error.code is not ErrorCode.SESSION_INVALID:
            raise


@before_body(_authenticate_if_given)
@accepts(ANY_SECURITY)
async def manager_or_anonymous(request: Request) -> Identity | None:
    """As `manager`, but None for requests without a credential, or whose session has ended."""
    identity: Identity | None = request.scope["state"].get("identity")
    if identity is not None:
        _check_manages(identity)
    return identity


ManagerOrAnonymous = Annotated[Identity | None, Depends(manager_or_anonymous)]


async def registrar(identity: Caller) -> Identity:
    """As `administrator`, also for keys of scope `serve`.

    An inference server receives the calls of all users of its model, and the token of gateways.
    """
    if identity.scope is not Scope.SERVE:
        _check_manages(identity)
    check_administers(identity)
    return identity


async def administrator(identity: Manager) -> Identity:
    """As `manager`, for the roles admin and owner; raise ROLE_FORBIDDEN for members."""
    check_administers(identity)
    return identity


Administrator = Annotated[Identity, Depends(administrator)]


@accepts(ANY_SECURITY)
async def metrics_reader(request: Request) -> None:
    """Admit whom `MetricsAccess` admits, and `manage` keys and sessions of admins and owners.

    Raises:
        GatewayError: as `caller` and `administrator`.
    """
    peer = request.client.host if request.client else ""
    if service_of(request, MetricsAccess).admits(peer, request.scope["headers"]):
        return
    await _authenticate(request)
    identity: Identity = request.scope["state"]["identity"]
    _check_manages(identity)
    check_administers(identity)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRequest:
    """A request made with a console session."""

    identity: Identity
    token: str


async def _authenticate_session(request: Request) -> None:
    """Find the session behind a request; see `Authentication.authenticate_session`.

    Raises:
        GatewayError: as that method; TOO_MANY_FAILURES after too many failures of the address.
    """
    sender = _sender_of(request)
    attempt = service_of(request, Authentication).authenticate_session(
        request.method, _headers(request)
    )
    identity, token = await service_of(request, RequestLimits).failed_auth.guard(
        sender.address or "", attempt
    )
    request.scope["state"]["session"] = SessionRequest(identity=identity, token=token)
    ACTOR.set(_with_identity(sender, identity))


@before_body(_authenticate_session)
@accepts(SESSION_SECURITY)
async def session(request: Request) -> SessionRequest:
    """Return the request's console session."""
    found: SessionRequest = request.scope["state"]["session"]
    return found


CurrentSession = Annotated[SessionRequest, Depends(session)]


async def _check_same_origin(request: Request) -> None:
    service_of(request, Authentication).check_same_origin(_headers(request))


@before_body(_check_same_origin)
async def same_origin() -> None:
    """Refuse requests that a page of another site sent, with CSRF_FAILED."""


def _check_manages(identity: Identity) -> None:
    if identity.scope is not Scope.MANAGE:
        message = f"this key has the scope '{identity.scope}': use a key of scope 'manage'"
        raise GatewayError(ErrorCode.API_KEY_FORBIDDEN, message)


def _sender_of(request: Request) -> Actor:
    peer = request.client.host if request.client else ""
    proxies = service_of(request, TrustedProxies)
    return Actor(
        profile_id=None,
        address=proxies.client(peer, request.scope["headers"]) or None,
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
