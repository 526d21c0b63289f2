"""Who may call models by name."""

from __future__ import annotations

from gateway.auth.authenticator import Authenticator
from gateway.auth.identity import Identity, Scope
from gateway.errors import GatewayError
from protos.errors import ErrorCode


class ModelAccess:
    """Any active key that is not limited to deployments; or, if so set, everybody."""

    def __init__(self, authenticator: Authenticator, *, anonymous: bool) -> None:
        self._authenticator = authenticator
        self._anonymous = anonymous

    async def check(self, key: str | None) -> None:
        """Return if the holder of `key` may call models.

        Raises:
            GatewayError: what `Authenticator.authenticate` raises; API_KEY_FORBIDDEN for a key that
                covers listed deployments only.
        """
        if key is None and self._anonymous:
            return
        known = self._authenticator.identify(key) if key else None
        identity: Identity = known or await self._authenticator.authenticate(key)
        if identity.deployments is not None and identity.scope is not Scope.MANAGE:
            message = (
                "this API key is limited to its deployments: call their trigger URLs, or use a "
                "key that covers all"
            )
            raise GatewayError(ErrorCode.API_KEY_FORBIDDEN, message)
