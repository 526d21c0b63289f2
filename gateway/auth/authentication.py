"""Authentication of requests, by API key or by console session."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from gateway.auth.csrf import check_csrf, check_same_origin
from gateway.auth.identity import Identity
from gateway.auth.key_authenticator import KeyAuthenticator
from gateway.auth.session_cookie import session_token
from gateway.auth.sessions import SessionService
from gateway.errors import GatewayError
from protos.errors import ErrorCode


class Authentication:
    """API keys and sessions; a key takes precedence over a session.

    `origins` are the console's, beside the request's own host. Header names are in lower case.
    """

    def __init__(
        self,
        authenticator: KeyAuthenticator,
        sessions: SessionService,
        *,
        origins: Collection[str] = (),
    ) -> None:
        self._authenticator = authenticator
        self._sessions = sessions
        self._origins = frozenset(origin.lower().rstrip("/") for origin in origins)

    async def authenticate(
        self, method: str, headers: Mapping[bytes, bytes], key: str | None, address: str
    ) -> Identity:
        """Return the identity of `key`; without a key, of the session in the cookie.

        `address` is the client's.

        Raises:
            GatewayError: as `KeyAuthenticator.authenticate` (API_KEY_MISSING if there is neither a
                key nor a session); SESSION_INVALID; CSRF_FAILED for a session used by another
                site's page.
        """
        token = None if key else session_token(headers)
        if token is not None:
            return await self._identify_session(method, headers, token)
        cached = self._authenticator.cached_identity(key, lambda: address)
        return cached or await self._authenticator.authenticate(key, address)

    async def authenticate_session(
        self, method: str, headers: Mapping[bytes, bytes]
    ) -> tuple[Identity, str]:
        """Return the identity of the session in the cookie, and its token.

        Raises:
            GatewayError: SESSION_INVALID, also without a cookie; CSRF_FAILED.
        """
        token = session_token(headers)
        if token is None:
            message = "this needs a console session: log in at POST /node/session/"
            raise GatewayError(ErrorCode.SESSION_INVALID, message)
        return await self._identify_session(method, headers, token), token

    def check_same_origin(self, headers: Mapping[bytes, bytes]) -> None:
        """Raise CSRF_FAILED if a page of another site sent the request."""
        check_same_origin(headers, self._origins)

    async def _identify_session(
        self, method: str, headers: Mapping[bytes, bytes], token: str
    ) -> Identity:
        identity = await self._sessions.identify(token)
        check_csrf(method, headers, token, self._origins)
        return identity
