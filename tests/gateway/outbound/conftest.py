"""A certificate for servers that speak TLS."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for shop.example together with its authority's, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    authority = trustme.CA()
    leaf = authority.issue_cert("shop.example")
    certificate.write_bytes(leaf.cert_chain_pems[0].bytes() + authority.cert_pem.bytes())
    leaf.private_key_pem.write_to_path(str(key))
    return certificate, key
