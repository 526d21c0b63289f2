"""Who comes in, by key or by console session: the same for every way that requests take."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from gateway.auth.authenticator import Authenticator
from gateway.auth.csrf import check_origin, check_request
from gateway.auth.identity import Identity
from gateway.auth.sessions import Sessions, session_token
from gateway.errors import GatewayError
from protos.errors import ErrorCode


class Entrance:
    """Keys and sessions; a key counts before a session.

    `origins` are those of the console beside the host that a request names. Headers are by
    lower-case name.
    """

    def __init__(
        self, authenticator: Authenticator, sessions: Sessions, *, origins: Collection[str] = ()
    ) -> None:
        self._authenticator = authenticator
        self._sessions = sessions
        self._origins = frozenset(origin.lower().rstrip("/") for origin in origins)

    async def admit(
        self, method: str, headers: Mapping[bytes, bytes], key: str | None, address: str
    ) -> Identity:
        """Return the holder of `key`, or where there is none, of the session in the cookie.

        The request comes from `address`.

        Raises:
            GatewayError: what `Authenticator.authenticate` raises, API_KEY_MISSING where there is
                neither; SESSION_INVALID; CSRF_FAILED where a session is used by a page that is not
                ours.
        """
        token = None if key else session_token(headers)
        if token is not None:
            return await self._admit_session(method, headers, token)
        known = self._authenticator.identify(key, lambda: address)
        return known or await self._authenticator.authenticate(key, address)

    async def admit_browser(
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
        return await self._admit_session(method, headers, token), token

    def check_own_page(self, headers: Mapping[bytes, bytes]) -> None:
        """Raise CSRF_FAILED where a browser sends this for another site's page."""
        check_origin(headers, self._origins)

    async def _admit_session(
        self, method: str, headers: Mapping[bytes, bytes], token: str
    ) -> Identity:
        identity = await self._sessions.identify(token)
        check_request(method, headers, token, self._origins)
        return identity
