"""The tokens of a file, of which a caller must present one as `authorization: Bearer …`."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable
from pathlib import Path

_CHECK_SECONDS = 2.0
_SCHEME = "bearer "
_MIN_TOKEN_LENGTH = 16
"""Characters; shorter tokens can be guessed."""


class TokenFileError(Exception):
    """A token file that cannot be used; the message names it and says what to do."""


class BearerTokens:
    """The tokens of a file, one per line; with two of them, clients can rotate.

    Raises:
        TokenFileError: the file cannot be read, or has no valid token.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._content: bytes | None = None
        self._tokens: list[bytes] = []
        self.reload()

    def reload(self) -> bool:
        """Read the file if it has changed; return whether it had. An invalid one changes nothing.

        Raises:
            TokenFileError: the file cannot be read, or has no valid token.
        """
        try:
            content = self._path.read_bytes()
        except OSError as error:
            message = f"the token file {self._path} cannot be read: {error.strerror}"
            raise TokenFileError(message) from None
        if content == self._content:
            return False
        self._content = content
        tokens = content.split()
        if not tokens or min(map(len, tokens)) < _MIN_TOKEN_LENGTH:
            message = (
                f"the token file {self._path}: expected tokens of at least {_MIN_TOKEN_LENGTH} "
                "characters, one per line; create one with `openssl rand -hex 32`"
            )
            raise TokenFileError(message)
        self._tokens = tokens
        return True

    async def reload_on_change(self, on_reload: Callable[[str], None]) -> None:
        """Reload the file whenever it changes, until cancelled.

        Call `on_reload` each time, with an empty text, or with why the old tokens stay.
        """
        while True:
            await asyncio.sleep(_CHECK_SECONDS)
            try:
                if await asyncio.to_thread(self.reload):
                    on_reload("")
            except TokenFileError as error:
                on_reload(str(error))

    def accepts(self, authorization: bytes) -> bool:
        """Return whether the value of a header holds one of the tokens, in constant time each."""
        if authorization[: len(_SCHEME)].lower() != _SCHEME.encode():
            return False
        presented = authorization[len(_SCHEME) :].strip()
        return any(hmac.compare_digest(presented, token) for token in self._tokens)
