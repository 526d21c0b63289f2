"""Secrets of webhooks at rest: encrypted, so that a copy of the database signs nothing."""

from __future__ import annotations

import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_PURPOSE = b"slipstream webhook secrets 1"
_KEY_BYTES = 32
_NONCE_BYTES = 12


class SecretDecryptionError(Exception):
    """A secret was sealed by another installation, or its row was tampered with."""


class SecretBox:
    """Seals secrets with a key that only whoever has the installation's pepper can derive."""

    def __init__(self, pepper: bytes) -> None:
        derive = HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=_PURPOSE)
        self._cipher = AESGCM(derive.derive(pepper))

    def seal(self, secret: str, place: str) -> bytes:
        """Return a secret encrypted, bound to its `place`: sealed for one row it opens in no other.

        Twice the same secret gives different bytes.
        """
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, secret.encode(), place.encode())

    def open(self, sealed: bytes, place: str) -> str:
        """Return what was sealed for `place`.

        Raises:
            SealedSecretError: with another pepper, for another place, or changed since.
        """
        nonce, text = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            return self._cipher.decrypt(nonce, text, place.encode()).decode()
        except (InvalidTag, ValueError):
            message = "the webhook's secret cannot be read: it was made with another pepper"
            raise SecretDecryptionError(message) from None
