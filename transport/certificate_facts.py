"""What a certificate says of itself: whom it is for, and until when.

Python's ssl reads a certificate only where a peer has shown it: so we shake hands with ourselves.
"""

from __future__ import annotations

import ssl
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from transport.certificates import KeyPair, pinned_context, server_context

_NO_CHECK_TIME = ssl.VerifyFlags(0x200000)
"""OpenSSL's X509_V_FLAG_NO_CHECK_TIME: what has expired is to be read as well."""
_FLIGHTS = 4
_SOON_DAYS = 14
_LAX = 0o027
"""Of a private key's mode: what its group may not do to it, and others not at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateFacts:
    """Of the first certificate in a file."""

    names: tuple[str, ...]
    """The hosts that it is for, names and addresses; a name may begin with `*.`."""
    expires: datetime
    self_signed: bool

    @classmethod
    def of(cls, pair: KeyPair) -> CertificateFacts:
        """Read the facts; raise TlsError where a file cannot be used."""
        shown = _shown(pair)
        return cls(
            names=tuple(str(name) for _, name in shown.get("subjectAltName", ())),
            expires=datetime.fromtimestamp(ssl.cert_time_to_seconds(shown["notAfter"]), UTC),
            self_signed=shown["issuer"] == shown["subject"],
        )

    def warning(self, now: datetime) -> str | None:
        """Return what clients will say of it, if it has expired or does soon."""
        days = (self.expires - now).days
        if days < 0:
            return f"the certificate has expired on {self.expires:%Y-%m-%d}: clients refuse it"
        if days < _SOON_DAYS:
            return f"the certificate expires on {self.expires:%Y-%m-%d}, in {days} days"
        return None


def doubts(pair: KeyPair) -> list[str]:
    """Return what is to be said against a pair that works.

    Raises:
        TlsError: it does not, any more.
    """
    found = [CertificateFacts.of(pair).warning(datetime.now(UTC))]
    with suppress(OSError):
        mode = pair.key.stat().st_mode & 0o777
        if mode & _LAX:
            found.append(f"others can read the private key {pair.key} (mode {mode:o}): chmod 600")
    return [text for text in found if text]


def _shown(pair: KeyPair) -> dict[str, Any]:
    """Return a certificate as `getpeercert` has it. Any: a tree of tuples and strings."""
    trusting = pinned_context(pair.certificate)
    trusting.verify_flags |= _NO_CHECK_TIME
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusting.wrap_bio(back, there)
    server = server_context(pair, protocols=()).wrap_bio(there, back, server_side=True)
    for _ in range(_FLIGHTS):
        for side in (client, server):
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
    return client.getpeercert() or {}
