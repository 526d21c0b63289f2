"""What a certificate says of itself, and what is to be said against it."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from tests.authority import Authority
from transport import KeyPair, ServerTls, TlsError
from transport.certificate_facts import CertificateFacts, doubts
from transport.certificates import pair_of


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ours")


def test_names_and_signer_are_read(authority: Authority) -> None:
    facts = CertificateFacts.of(authority.issue("server", "api.example", "*.b.example", "::1"))
    assert facts.names == ("api.example", "*.b.example", "0:0:0:0:0:0:0:1")
    assert not facts.self_signed


@pytest.mark.parametrize(
    ("days", "said"), [(90, None), (5, "expires on"), (-3, "has expired on")], ids=str
)
def test_an_early_end_is_said(authority: Authority, days: int, said: str | None) -> None:
    found = doubts(authority.issue("server", days=days))
    assert [said in text for text in found] == ([True] if said else [])


@pytest.mark.parametrize(
    ("mode", "lax"), [(0o600, False), (0o640, False), (0o644, True), (0o660, True)], ids=oct
)
def test_a_key_that_others_can_read_is_said(authority: Authority, mode: int, lax: bool) -> None:
    pair = authority.issue("server")
    pair.key.chmod(mode)
    assert [f"(mode {mode:o})" in text for text in doubts(pair)] == ([True] if lax else [])


def test_an_encrypted_key_is_refused_without_asking_anybody(authority: Authority) -> None:
    pair = authority.issue("server")
    key = serialization.load_pem_private_key(pair.key.read_bytes(), None)
    pair.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(TlsError, match="is encrypted"):
        ServerTls(pair)


def test_half_a_pair_is_refused_by_the_names_of_its_settings(authority: Authority) -> None:
    pair, called = authority.issue("server"), ("THE_CERTIFICATE", "THE_KEY")
    with pytest.raises(TlsError, match="THE_CERTIFICATE is set and THE_KEY is not"):
        pair_of(pair.certificate, None, called=called)
    with pytest.raises(TlsError, match="THE_KEY is set and THE_CERTIFICATE is not"):
        pair_of(None, pair.key, called=called)
    assert pair_of(None, None, called=called) is None
    whole = pair_of(pair.certificate, pair.key, called=called)
    assert whole == KeyPair(certificate=pair.certificate, key=pair.key)
