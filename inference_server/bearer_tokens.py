"""The tokens that callers on other machines show: `authorization: Bearer …`."""

from __future__ import annotations

import hmac
from pathlib import Path

from transport import Metadata, RpcError, StatusCode
from transport.health import HEALTH

_SCHEME = "bearer "
_SHORTEST = 16
"""Characters: fewer are guessed."""
_REFUSAL = RpcError(
    StatusCode.UNAUTHENTICATED,
    "expected `authorization: Bearer TOKEN` with a token of this inference server's --token-file",
)


class TokenFileError(Exception):
    """A file that holds no tokens; the message says which, and what to do."""


class BearerTokens:
    """The tokens in a file, one a line: with two of them, callers can change from old to new.

    Read again when the file has changed; one that cannot be used changes nothing.

    Raises:
        TokenError: there are none.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._content: bytes | None = None
        self._tokens: list[bytes] = []
        self.renew()

    def renew(self) -> bool:
        """Read the file; return whether it has changed since the last time.

        Raises:
            TokenError: there are no tokens in it now.
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
        if not tokens or min(map(len, tokens)) < _SHORTEST:
            message = f"the token file {self._path}: expected tokens of at least {_SHORTEST}"
            raise TokenFileError(
                f"{message} characters, one a line; `openssl rand -hex 32` makes one"
            )
        self._tokens = tokens
        return True

    def accept(self, authorization: bytes) -> bool:
        """Whether a header's value holds a token. Takes as long wherever it differs from one."""
        if authorization[: len(_SCHEME)].lower() != _SCHEME.encode():
            return False
        shown = authorization[len(_SCHEME) :].strip()
        return any(hmac.compare_digest(shown, token) for token in self._tokens)

    def guard(self, path: str, metadata: Metadata) -> RpcError | None:
        """Let calls with a token begin, and those that ask for the server's health; see `Guard`."""
        if path.startswith(f"/{HEALTH}/"):
            return None
        for name, value in metadata:
            if name == "authorization" and isinstance(value, str):
                return None if self.accept(value.encode()) else _REFUSAL
        return _REFUSAL
