"""Authentication of calls of models by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gateway.auth.authentication import Authentication
from gateway.auth.csrf import HEADER, SAFE_METHODS
from gateway.auth.identity import Identity, Scope, check_calls
from gateway.auth.key_authenticator import KeyAuthenticator
from gateway.errors import GatewayError
from gateway.limits.rate_limit import RateLimit
from gateway.limits.request_limits import RequestLimits
from protos.errors import ErrorCode


class ModelAccess:
    """Accepts valid keys that are not limited to deployments, and anonymous calls if enabled.

    Over REST also console sessions: a page of the console calls a model so.
    """

    def __init__(
        self,
        authenticator: KeyAuthenticator,
        authentication: Authentication,
        limits: RequestLimits,
        *,
        anonymous: bool,
    ) -> None:
        self._authenticator = authenticator
        self._authentication = authentication
        self._limits = limits
        self._anonymous = anonymous

    async def check(self, key: str | None, origin: Callable[[], str]) -> Identity | None:
        """Return the identity of `key`; None for an anonymous call, if those are enabled.

        `origin` returns the client's address; it is called only for calls with a key.

        Raises:
            GatewayError: as `KeyAuthenticator.authenticate`; TOO_MANY_FAILURES after too many
                failures of the address; API_KEY_FORBIDDEN for a key limited to deployments, or that
                calls nothing.
        """
        if key is None and self._anonymous:
            return None
        identity = self._authenticator.cached_identity(key, origin)
        if identity is None:
            address = origin()
            attempt = self._authenticator.authenticate(key, address)
            identity = await self._limits.failed_auth.guard(address, attempt)
        check_calls(identity)
        if identity.deployments is not None and identity.scope is not Scope.MANAGE:
            message = (
                "this API key is limited to its deployments: call their trigger URLs, or use a "
                "key that covers all"
            )
            raise GatewayError(ErrorCode.API_KEY_FORBIDDEN, message)
        return identity

    async def check_session(
        self, method: str, headers: Mapping[bytes, bytes], origin: Callable[[], str]
    ) -> Identity | None:
        """Return the identity of the session in the cookie.

        Where anonymous calls are allowed, a browser's cookie does not refuse one: None if the
        session has ended, or if the request has no CSRF token and needs one.

        Raises:
            GatewayError: as `Authentication.authenticate`; TOO_MANY_FAILURES.
        """
        if self._anonymous and method not in SAFE_METHODS and HEADER not in headers:
            return None
        address = origin()
        attempt = self._authentication.authenticate(method, headers, None, address)
        try:
            return await self._limits.failed_auth.guard(address, attempt)
        except GatewayError as error:
            if self._anonymous and error.code is ErrorCode.SESSION_INVALID:
                return None
            raise

    def rate_limit(self, identity: Identity | None) -> RateLimit | None:
        """Return the rate limit of an identity that `check` returned; None: unlimited."""
        if identity is None:
            return None
        return self._limits.rate_limiter.for_model_call(identity.limit_key, identity.limits)
