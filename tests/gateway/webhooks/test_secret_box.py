"""Secrets at rest."""

from __future__ import annotations

import pytest

from gateway.webhooks.secret_box import SecretBox, SecretDecryptionError


def test_what_was_sealed_opens_again_and_nothing_of_it_is_seen() -> None:
    secret_box = SecretBox(b"p" * 32)
    sealed = secret_box.seal("whsec_secret", "here")
    assert secret_box.open(sealed, "here") == "whsec_secret"
    assert b"secret" not in sealed
    assert secret_box.seal("whsec_secret", "here") != sealed


@pytest.mark.parametrize("case", ["pepper", "place", "changed", "short"])
def test_it_opens_nowhere_else(case: str) -> None:
    sealed = SecretBox(b"p" * 32).seal("whsec_secret", "here")
    pepper = b"q" * 32 if case == "pepper" else b"p" * 32
    place = "there" if case == "place" else "here"
    if case == "changed":
        sealed = sealed[:-1] + bytes([sealed[-1] ^ 1])
    if case == "short":
        sealed = sealed[:5]
    with pytest.raises(SecretDecryptionError, match="another pepper"):
        SecretBox(pepper).open(sealed, place)
