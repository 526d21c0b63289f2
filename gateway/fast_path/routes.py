"""Who calls which deployment: the key, the deployment, and the limits of both."""

from __future__ import annotations

from dataclasses import dataclass, replace
from time import time

from gateway.auth.authentication import Authentication
from gateway.auth.identity import Identity, check_covers
from gateway.auth.key_authenticator import KeyAuthenticator
from gateway.auth.key_usage import CachedKey, KeyUses
from gateway.auth.proxies import TrustedProxies
from gateway.auth.request_credentials import presented_key
from gateway.deployments.deployment_cache import DeploymentCache
from gateway.deployments.live_deployment import LiveDeployment, LiveRollout
from gateway.deployments.rollouts.watch import RolloutCounts, RolloutWatch, VersionCounts
from gateway.deployments.settings import ExecutionMode, NotificationMethod, RecordRuns
from gateway.fast_path.http_call import Connection, RequestHead, path_of
from gateway.fast_path.tensors import TensorCodec
from gateway.fast_path.url import TriggerUrl, split_path
from gateway.limits.policy import ConcurrencyLimit
from gateway.limits.rate_limit import RateLimit
from gateway.limits.rate_limiter import RateLimiter
from gateway.limits.request_limits import RequestLimits
from gateway.runs.labels import HEADER as LABELS

_MAX_ROUTES = 10_000
_MAX_CODECS = 10_000
_MAX_URL_BYTES = 128
"""Of a URL that is kept: twice what one has without percent-encoding."""


@dataclass(frozen=True, slots=True, eq=False)
class ResolvedRoute:
    """What the holder of a key calls at a URL, and what limits that."""

    identity: Identity
    deployment: LiveDeployment
    codec: TensorCodec | None
    """Of mode `fast`; None: the flow engine runs the call."""
    is_recorded: bool
    """Of mode `fast`: whether every call is answered by way of `RunRecorder.begin`."""
    rate_limit: RateLimit | None
    concurrency_limits: tuple[ConcurrencyLimit, ...]
    """How many runs may be active at once."""
    limiter_epoch: int
    """Of the rate limiter: in another epoch, `rate_limit` no longer counts."""
    rollout: RouteRollout | None = None
    """Of the route to the live version: another version that is tried beside it."""
    rollout_counts: VersionCounts | None = None
    """Of both versions' routes: where their calls are counted."""


@dataclass(frozen=True, slots=True, eq=False)
class RouteRollout:
    """A version that is tried beside the live one."""

    live: LiveRollout
    counts: RolloutCounts
    """Of both versions."""
    candidate: ResolvedRoute
    """With the limits of the route to the live version."""


@dataclass(slots=True, eq=False)
class Resolution:
    """What a request head has led to, until a key, a deployment or a limit changes."""

    key: CachedKey
    route: ResolvedRoute
    keys_generation: int
    deployments_generation: int
    uses: KeyUses | None = None
    """Where uses of the key are counted: a head comes from one address. None: none was yet."""


class RouteResolver:
    """Finds routes in memory, or else in the database."""

    def __init__(
        self,
        authenticator: KeyAuthenticator,
        authentication: Authentication,
        deployments: DeploymentCache,
        limits: RequestLimits,
        *,
        proxies: TrustedProxies,
        rollouts: RolloutWatch,
    ) -> None:
        self.deployments = deployments
        self._authenticator = authenticator
        self._authentication = authentication
        self._cached_keys = authenticator.keys
        self._cached_deployments = deployments.entries
        self._failed_auth = limits.failed_auth
        self._proxies = proxies
        self._rollouts = rollouts
        self._rate_limiter: RateLimiter = limits.rate_limiter
        self._routes: dict[tuple[str | None, bytes], ResolvedRoute] = {}
        self._codecs: dict[tuple[str, int], TensorCodec] = {}

    def client_address(self, connection: Connection, head: RequestHead) -> str:
        """Return the address that a request comes from."""
        peer = connection.client
        return self._proxies.client(peer[0] if peer else "", head.lines)

    def resolve(self, head: RequestHead) -> Resolution | None:
        """Return the caller and the route from memory, or None: then use `identify` and `find`.

        Both are in memory if the key and the deployment are cached, the key covers the deployment,
        and the URL has no query. A request with labels, which are to be checked, is none of these.
        It does not count a use of the key.
        """
        known = head.resolution
        if (
            isinstance(known, Resolution)
            and known.keys_generation == self._cached_keys.generation
            and known.deployments_generation == self._cached_deployments.generation
            and known.route.limiter_epoch == self._rate_limiter.epoch
            and known.key.ends_at > time()
        ):
            return known
        if LABELS in head.headers:
            return None
        key = self._authenticator.cached_key(presented_key(head.headers))
        route = None if key is None else self._cached_route(key.identity, head.url)
        if key is None or route is None:
            return None
        found = head.resolution = Resolution(
            key, route, self._cached_keys.generation, self._cached_deployments.generation
        )
        return found

    async def identify(self, connection: Connection, head: RequestHead) -> Identity:
        """Return the identity of the caller, by its key or console session.

        Raises:
            GatewayError: as `Authentication.authenticate`; TOO_MANY_FAILURES.
        """
        address = self.client_address(connection, head)
        key = presented_key(head.headers)
        attempt = self._authentication.authenticate("POST", head.headers, key, address)
        return await self._failed_auth.guard(address, attempt)

    async def find(self, identity: Identity, url: TriggerUrl) -> ResolvedRoute:
        """Return the route, asking the database for a deployment that is not in memory.

        Raises:
            GatewayError: as `DeploymentCache.find`; API_KEY_FORBIDDEN.
        """
        deployment = await self.deployments.find(url.deployment, identity.profile_id, url.version)
        check_covers(identity, deployment.id)
        return self._new_route(identity, deployment)

    def _cached_route(self, identity: Identity, url: bytes) -> ResolvedRoute | None:
        known = self._routes.get((identity.key_id, url))
        if (
            known is not None
            and known.identity is identity
            and known.limiter_epoch == self._rate_limiter.epoch
            and self._cached_deployments.get(known.deployment.id) is known.deployment
        ):
            return known
        if b"?" in url:
            return None
        called, is_batch = split_path(path_of(url))
        deployment = None if is_batch else self.deployments.get(called)
        if (
            deployment is None
            or deployment.profile_id != identity.profile_id
            or not identity.may_trigger(deployment.id)
        ):
            return None
        route = self._new_route(identity, deployment)
        if len(self._routes) >= _MAX_ROUTES:
            self._routes.clear()
        if len(url) <= _MAX_URL_BYTES:
            self._routes[identity.key_id, url] = route
        return route

    def _new_route(self, identity: Identity, deployment: LiveDeployment) -> ResolvedRoute:
        limited = identity.limit_key, identity.limits, deployment.id, deployment.limits
        concurrency_limits: tuple[ConcurrencyLimit, ...] = ()
        rate_limit: RateLimit | None
        if deployment.mode is ExecutionMode.FAST:
            rate_limit = self._rate_limiter.for_call(*limited)
        else:
            rate_limit, concurrency_limits = self._rate_limiter.for_run(*limited)
        route = ResolvedRoute(
            identity=identity,
            deployment=deployment,
            codec=self._codec(deployment),
            is_recorded=deployment.mode is ExecutionMode.FAST
            and (
                deployment.record_runs is RecordRuns.ALL
                or deployment.notification_method is NotificationMethod.WEBHOOK
                or deployment.require_idempotency_key
            ),
            rate_limit=rate_limit,
            concurrency_limits=concurrency_limits,
            limiter_epoch=self._rate_limiter.epoch,
        )
        rollout = deployment.rollout
        if rollout is None:
            return route
        counts = self._rollouts.counts(deployment.id, rollout.id)
        candidate = replace(
            route,
            deployment=rollout.candidate,
            codec=self._codec(rollout.candidate),
            rollout_counts=counts.candidate,
        )
        return replace(
            route,
            rollout=RouteRollout(rollout, counts, candidate),
            rollout_counts=counts.baseline,
        )

    def _codec(self, deployment: LiveDeployment) -> TensorCodec | None:
        """Return a version's codec, which its keys share: it keeps templates of its calls."""
        plan = deployment.fast_plan
        if plan is None:
            return None
        version = deployment.id, deployment.version
        found = self._codecs.get(version)
        if found is None or found.plan is not plan:
            if len(self._codecs) >= _MAX_CODECS:
                self._codecs.clear()
            found = self._codecs[version] = TensorCodec(plan, deployment.profile_id)
        return found
