"""Who may call what: the key, the deployment, and the limits of both."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.auth.authentication import Authentication
from gateway.auth.identity import Identity, check_covers
from gateway.auth.key_authenticator import KeyAuthenticator
from gateway.auth.proxies import TrustedProxies
from gateway.deployments.deployment_cache import DeploymentCache
from gateway.deployments.live_deployment import LiveDeployment
from gateway.deployments.settings import ExecutionMode
from gateway.fast_path.http_call import HttpCall, path_of
from gateway.fast_path.url import PREFIX, TriggerUrl
from gateway.limits.policy import ConcurrencyLimit
from gateway.limits.rate_limit import RateLimit
from gateway.limits.rate_limiter import RateLimiter
from gateway.limits.request_limits import RequestLimits

_MOST_KEPT = 10_000
_LONGEST_KEPT = 128
"""Bytes of a URL: twice what one has that is not written in a strange way."""


@dataclass(frozen=True, slots=True)
class ResolvedRoute:
    """What the holder of a key calls at a URL, and what limits that."""

    identity: Identity
    deployment: LiveDeployment
    rate_limit: RateLimit | None
    concurrency_limits: tuple[ConcurrencyLimit, ...]
    """How many runs may go on at once."""
    epoch: int
    """Of the gates: of another one, the gate counts no more."""


class RouteResolver:
    """Knows callers and deployments of the last time, and asks the database for others."""

    def __init__(
        self,
        authenticator: KeyAuthenticator,
        entrance: Authentication,
        deployment_cache: DeploymentCache,
        limits: RequestLimits,
        proxies: TrustedProxies,
    ) -> None:
        self._authentication = entrance
        self.authenticator = authenticator
        self._failed_auth = limits.failed_auth
        self._proxies = proxies
        self.deployment_cache = deployment_cache
        self._rate_limiter: RateLimiter = limits.rate_limiter
        self._ways: dict[tuple[str | None, bytes], ResolvedRoute] = {}

    def origin(self, exchange: HttpCall) -> str:
        """Return the address that a call comes from."""
        return self._proxies.client(exchange.peer, exchange.lines)

    def way(self, identity: Identity, url: bytes) -> ResolvedRoute | None:
        """Return the way to the deployment that `url` names; None says: ask `find`.

        The deployment is known here, the call is allowed, and the URL says nothing else.
        """
        found = self._ways.get((identity.key_id, url))
        if (
            found is not None
            and found.identity is identity
            and found.epoch == self._rate_limiter.epoch
            and self.deployment_cache.get(found.deployment.id) is found.deployment
        ):
            return found
        return None if b"?" in url else self._new_way(identity, url)

    async def identify(self, key: str | None, exchange: HttpCall) -> Identity:
        """Return who calls, with a key or from a console session.

        Raises:
            GatewayError: as `Authentication.admit`; TOO_MANY_FAILURES.
        """
        address = self.origin(exchange)
        attempt = self._authentication.authenticate("POST", exchange.headers, key, address)
        return await self._failed_auth.guard(address, attempt)

    async def find(self, identity: Identity, address: TriggerUrl) -> ResolvedRoute:
        """Return the way to what is called, asking the database where it is not known here.

        Raises:
            GatewayError: as `DeploymentCache.find`; API_KEY_FORBIDDEN.
        """
        deployment = await self.deployment_cache.find(
            address.deployment_id, identity.profile_id, address.version
        )
        check_covers(identity, deployment.id)
        return self._way_to(identity, deployment)

    def _new_way(self, identity: Identity, url: bytes) -> ResolvedRoute | None:
        deployment = self.deployment_cache.get(path_of(url)[len(PREFIX) :].rstrip("/"))
        if (
            deployment is None
            or deployment.profile_id != identity.profile_id
            or not identity.may_trigger(deployment.id)
        ):
            return None
        way = self._way_to(identity, deployment)
        if len(self._ways) >= _MOST_KEPT:
            self._ways.clear()
        if len(url) <= _LONGEST_KEPT:
            self._ways[identity.key_id, url] = way
        return way

    def _way_to(self, identity: Identity, deployment: LiveDeployment) -> ResolvedRoute:
        place = identity.limit_key, identity.limits, deployment.id, deployment.limits
        concurrency_limits: tuple[ConcurrencyLimit, ...] = ()
        if deployment.mode is ExecutionMode.FAST:
            rate_limit = self._rate_limiter.for_call(*place)
        else:
            rate_limit, concurrency_limits = self._rate_limiter.for_run(*place)
        return ResolvedRoute(
            identity, deployment, rate_limit, concurrency_limits, self._rate_limiter.epoch
        )
