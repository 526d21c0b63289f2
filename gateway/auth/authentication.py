"""Who comes in, by key or by console session: the same for every way that requests take."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from gateway.auth.csrf import check_csrf, check_same_origin
from gateway.auth.identity import Identity
from gateway.auth.key_authenticator import KeyAuthenticator
from gateway.auth.sessions import Sessions, session_token
from gateway.errors import GatewayError
from protos.errors import ErrorCode


class Authentication:
    """Keys and sessions; a key counts before a session.

    `origins` are those of the console beside the host that a request names. Headers are by
    lower-case name.
    """

    def __init__(
        self, authenticator: KeyAuthenticator, sessions: Sessions, *, origins: Collection[str] = ()
    ) -> None:
        self._authenticator = authenticator
        self._sessions = sessions
        self._origins = frozenset(origin.lower().rstrip("/") for origin in origins)

    async def authenticate(
        self, method: str, headers: Mapping[bytes, bytes], key: str | None, address: str
    ) -> Identity:
        """Return the holder of `key`, or where there is none, of the session in the cookie.

        The request comes from `address`.

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
        """Return whose session it is, and its token.

        Raises:
            GatewayError: SESSION_INVALID, also where there is none; CSRF_FAILED.
        """
        token = session_token(headers)
        if token is None:
            message = "this needs a console session: log in at POST /node/session/"
            raise GatewayError(ErrorCode.SESSION_INVALID, message)
        return await self._identify_session(method, headers, token), token

    def check_same_origin(self, headers: Mapping[bytes, bytes]) -> None:
        """Raise CSRF_FAILED where a browser sends this for another site's page."""
        check_same_origin(headers, self._origins)

    async def _identify_session(
        self, method: str, headers: Mapping[bytes, bytes], token: str
    ) -> Identity:
        identity = await self._sessions.identify(token)
        check_csrf(method, headers, token, self._origins)
        return identity
