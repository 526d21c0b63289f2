"""Certificate files: names, warnings, and pairs that cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from tests.authority import Authority
from transport import KeyPair, ServerTls, TlsError
from transport.certificates import CertificateInfo, certificate_warnings, key_pair_from


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ours")


def test_names_and_self_signature_are_read(authority: Authority) -> None:
    info = CertificateInfo.from_files(
        authority.issue("server", "api.example", "*.b.example", "::1")
    )
    assert info.names == ("api.example", "*.b.example", "0:0:0:0:0:0:0:1")
    assert not info.self_signed


@pytest.mark.parametrize(
    ("days", "warning"), [(90, None), (5, "expires on"), (-3, "expired on")], ids=str
)
def test_a_certificate_near_or_past_its_expiry_is_warned_about(
    authority: Authority, days: int, warning: str | None
) -> None:
    warnings = certificate_warnings(authority.issue("server", days=days))
    assert [warning in text for text in warnings if warning] == ([True] if warning else [])
    assert len(warnings) == (1 if warning else 0)


@pytest.mark.parametrize(
    ("mode", "insecure"), [(0o600, False), (0o640, False), (0o644, True), (0o660, True)], ids=oct
)
def test_a_private_key_open_to_other_users_is_warned_about(
    authority: Authority, mode: int, insecure: bool
) -> None:
    pair = authority.issue("server")
    pair.key.chmod(mode)
    assert [f"(mode {mode:o})" in text for text in certificate_warnings(pair)] == (
        [True] if insecure else []
    )


def test_an_encrypted_key_is_refused_without_a_password_prompt(authority: Authority) -> None:
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


def test_half_a_pair_is_refused_with_the_names_of_its_settings(authority: Authority) -> None:
    pair, option_names = authority.issue("server"), ("THE_CERTIFICATE", "THE_KEY")
    with pytest.raises(TlsError, match="THE_CERTIFICATE is set and THE_KEY is not"):
        key_pair_from(pair.certificate, None, option_names=option_names)
    with pytest.raises(TlsError, match="THE_KEY is set and THE_CERTIFICATE is not"):
        key_pair_from(None, pair.key, option_names=option_names)
    assert key_pair_from(None, None, option_names=option_names) is None
    whole = key_pair_from(pair.certificate, pair.key, option_names=option_names)
    assert whole == KeyPair(certificate=pair.certificate, key=pair.key)
