"""Who may call models by name."""

from __future__ import annotations

from collections.abc import Callable

from gateway.auth.identity import Identity, Scope
from gateway.auth.key_authenticator import KeyAuthenticator
from gateway.errors import GatewayError
from gateway.limits.rate_limit import RateLimit
from gateway.limits.request_limits import RequestLimits
from protos.errors import ErrorCode


class ModelAccess:
    """Any active key that is not limited to deployments; or, if so set, everybody."""

    def __init__(
        self, authenticator: KeyAuthenticator, limits: RequestLimits, *, anonymous: bool
    ) -> None:
        self._authenticator = authenticator
        self._limits = limits
        self._anonymous = anonymous

    async def check(self, key: str | None, origin: Callable[[], str]) -> Identity | None:
        """Return the holder of `key`, who may call models; None: anybody may, without one.

        `origin` tells the address that the call comes from. It is asked where the key is not
        known, and now and then.

        Raises:
            GatewayError: what `KeyAuthenticator.authenticate` raises; TOO_MANY_FAILURES where the
                address has failed too often; API_KEY_FORBIDDEN for a key that covers listed
                deployments only.
        """
        if key is None and self._anonymous:
            return None
        identity = self._authenticator.cached_identity(key, origin)
        if identity is None:
            address = origin()
            attempt = self._authenticator.authenticate(key, address)
            identity = await self._limits.failed_auth.guard(address, attempt)
        if identity.deployments is not None and identity.scope is not Scope.MANAGE:
            message = (
                "this API key is limited to its deployments: call their trigger URLs, or use a "
                "key that covers all"
            )
            raise GatewayError(ErrorCode.API_KEY_FORBIDDEN, message)
        return identity

    def rate_limit(self, identity: Identity | None) -> RateLimit | None:
        """Return what limits the calls of models of whoever `check` has returned."""
        if identity is None:
            return None
        return self._limits.rate_limiter.for_model_call(identity.limit_key, identity.limits)
