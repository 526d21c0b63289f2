"""The tokens of links that work once: made, hashed, and refused if they are wrong."""

from __future__ import annotations

import secrets

from gateway.accounts.login import ClientInfo
from gateway.accounts.login_throttle import LoginThrottle
from gateway.auth.keys import KeyHasher
from telemetry.logs import logger

MAX_TOKEN_LENGTH = 200
_TOKEN_BYTES = 16

log = logger("gateway.accounts")


class OneTimeTokens:
    """Tokens of 128 bits, stored as keyed hashes."""

    def __init__(self, hasher: KeyHasher) -> None:
        self._hasher = hasher

    def new(self) -> tuple[str, str]:
        """Return a new token, and the hash to store."""
        token = secrets.token_hex(_TOKEN_BYTES)
        return token, self.hash(token)

    def hash(self, token: str) -> str:
        """Return the hash under which a token is stored."""
        return self._hasher.digest(token).hex()


async def count_wrong_token(
    throttle: LoginThrottle, subject: str, client: ClientInfo, event: str
) -> None:
    """Count a wrong token as a failed log-in for `subject`, and log `event`.

    Right tokens are not counted: else others at the same address could keep their holder out.

    Raises:
        GatewayError: TOO_MANY_FAILURES.
    """
    attempt = await throttle.begin(subject, client.address)
    log.info(event, address=client.address)
    await throttle.failed(attempt, None)
