"""Encryption of secrets at rest."""

from __future__ import annotations

import pytest

from gateway.webhooks.secret_box import SecretBox, SecretDecryptionError


def test_an_encrypted_secret_can_be_decrypted_and_is_not_visible() -> None:
    secret_box = SecretBox(b"p" * 32)
    encrypted = secret_box.encrypt("whsec_secret", "here")
    assert secret_box.decrypt(encrypted, "here") == "whsec_secret"
    assert b"secret" not in encrypted
    assert secret_box.encrypt("whsec_secret", "here") != encrypted


@pytest.mark.parametrize("case", ["pepper", "place", "changed", "short"])
def test_decryption_fails_with_another_pepper_or_context_and_after_a_change(case: str) -> None:
    encrypted = SecretBox(b"p" * 32).encrypt("whsec_secret", "here")
    pepper = b"q" * 32 if case == "pepper" else b"p" * 32
    place = "there" if case == "place" else "here"
    if case == "changed":
        encrypted = encrypted[:-1] + bytes([encrypted[-1] ^ 1])
    if case == "short":
        encrypted = encrypted[:5]
    with pytest.raises(SecretDecryptionError, match="another pepper"):
        SecretBox(pepper).decrypt(encrypted, place)
