"""Encryption of webhook secrets at rest: a copy of the database is not enough to sign."""

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
    """A secret was encrypted with another pepper, or its row was tampered with."""


class SecretBox:
    """Encrypts secrets with a key derived from the installation's pepper (AES-256-GCM)."""

    def __init__(self, pepper: bytes) -> None:
        derive = HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=_PURPOSE)
        self._cipher = AESGCM(derive.derive(pepper))

    def encrypt(self, secret: str, row_id: str) -> bytes:
        """Return the encrypted secret, bound to `row_id`: in another row it cannot be decrypted.

        Encrypting a secret twice gives different bytes.
        """
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, secret.encode(), row_id.encode())

    def decrypt(self, encrypted: bytes, row_id: str) -> str:
        """Return the secret that was encrypted for `row_id`.

        Raises:
            SealedSecretError: encrypted with another pepper or for another row, or changed.
        """
        nonce, text = encrypted[:_NONCE_BYTES], encrypted[_NONCE_BYTES:]
        try:
            return self._cipher.decrypt(nonce, text, row_id.encode()).decode()
        except (InvalidTag, ValueError):
            message = "the webhook's secret cannot be decrypted: it belongs to another pepper"
            raise SecretDecryptionError(message) from None
