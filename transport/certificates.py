"""PEM files of certificates and keys: checked, loaded into SSL contexts, and described."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_MISMATCH = "KEY_VALUES_MISMATCH"
_ADVICE = "see docs/tls.md"
_NO_CHECK_TIME = ssl.VerifyFlags(0x200000)
"""OpenSSL's X509_V_FLAG_NO_CHECK_TIME: expired certificates can be read, too."""
_HANDSHAKE_ROUNDS = 4
_WARN_DAYS = 14
_INSECURE_MODE = 0o027
"""Bits of a private key's mode: the group may read it, others may do nothing."""


class TlsError(Exception):
    """TLS cannot use a file; the message names it and says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPair:
    """The PEM files of a certificate, with its chain, and of its private key."""

    certificate: Path
    key: Path

    def load_into(self, context: ssl.SSLContext) -> None:
        """Load the pair into a context.

        Raises:
            TlsError: a file cannot be read or is invalid, or the two do not belong together.
        """
        _check_pem("certificate", self.certificate, "CERTIFICATE")
        _check_pem("private key", self.key, "PRIVATE KEY")
        try:
            context.load_cert_chain(self.certificate, self.key, password=self._refuse_encrypted)
        except ssl.SSLError as error:
            if error.reason == _MISMATCH:
                message = f"the private key {self.key} belongs to another certificate than"
                raise TlsError(f"{message} {self.certificate}; {_ADVICE}") from None
            message = f"{self.certificate} and {self.key}: expected a certificate and a private key"
            raise TlsError(f"{message} in PEM, got {error.reason}; {_ADVICE}") from None

    def _refuse_encrypted(self) -> str:
        message = f"the private key {self.key} is encrypted, which is not supported"
        raise TlsError(f"{message}: decrypt it with `openssl pkey -in … -out …`")


def key_pair_from(
    certificate: Path | None, key: Path | None, *, option_names: tuple[str, str]
) -> KeyPair | None:
    """Return the pair that two settings name, or None if neither is set.

    Raises:
        TlsError: only one of them is set; `option_names` are their names.
    """
    if certificate is not None and key is not None:
        return KeyPair(certificate=certificate, key=key)
    if certificate is None and key is None:
        return None
    given, missing = option_names if key is None else option_names[::-1]
    raise TlsError(f"{given} is set and {missing} is not: TLS needs both; {_ADVICE}")


def server_context(
    pair: KeyPair, *, protocols: Sequence[str], client_ca: Path | None = None
) -> ssl.SSLContext:
    """Return the context of a listener: TLS 1.2 or newer, with Python's choice of ciphers.

    Args:
        pair: the server's certificate and key.
        protocols: for ALPN.
        client_ca: CA bundle used to verify clients; with it, clients must present a certificate.

    Raises:
        TlsError: a file cannot be used.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    pair.load_into(context)
    context.set_alpn_protocols(list(protocols))
    if client_ca is not None:
        _load_ca(context, client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
        # No session resumption: a resumed session skips the client certificate, which may have
        # expired or lost its CA since
        context.num_tickets = 0
        context.options |= ssl.OP_NO_TICKET
    return context


def client_context(
    *, protocols: Sequence[str], ca: Path | None = None, pair: KeyPair | None = None
) -> ssl.SSLContext:
    """Return the context of a client, which verifies the server's certificate and its name.

    Args:
        protocols: for ALPN.
        ca: CA bundle used to verify servers; default: the system's CAs.
        pair: the client certificate, for servers that require one.

    Raises:
        TlsError: a file cannot be used.
    """
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH)
    if ca is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # without the system's CAs
        _load_ca(context, ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(list(protocols))
    if pair is not None:
        pair.load_into(context)
    return context


def pinned_context(certificate: Path) -> ssl.SSLContext:
    """Return the context of a client that trusts exactly this certificate, by any host name.

    It is for clients on the server's own machine, which read its files: the address that they
    connect to, such as 127.0.0.1, is rarely in the certificate.

    Raises:
        TlsError: the file cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    _load_ca(context, certificate)
    return context


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateInfo:
    """Describes the first certificate in a file."""

    names: tuple[str, ...]
    """The host names and addresses that it is valid for; a name may begin with `*.`."""
    expires: datetime
    self_signed: bool

    @classmethod
    def from_files(cls, pair: KeyPair) -> CertificateInfo:
        """Read the certificate of a pair.

        Raises:
            TlsError: a file cannot be used.
        """
        peer_certificate = _peer_certificate(pair)
        expires = ssl.cert_time_to_seconds(peer_certificate["notAfter"])
        return cls(
            names=tuple(str(name) for _, name in peer_certificate.get("subjectAltName", ())),
            expires=datetime.fromtimestamp(expires, UTC),
            self_signed=peer_certificate["issuer"] == peer_certificate["subject"],
        )

    def expiry_warning(self, now: datetime) -> str | None:
        """Return a warning if the certificate has expired or expires soon."""
        days = (self.expires - now).days
        if days < 0:
            return f"the certificate expired on {self.expires:%Y-%m-%d}: clients reject it"
        if days < _WARN_DAYS:
            return f"the certificate expires on {self.expires:%Y-%m-%d}, in {days} days"
        return None


def certificate_warnings(pair: KeyPair) -> list[str]:
    """Return warnings about a pair that can be used: its expiry, and the key's file mode.

    Raises:
        TlsError: it cannot be used.
    """
    warnings = [CertificateInfo.from_files(pair).expiry_warning(datetime.now(UTC))]
    with suppress(OSError):
        mode = pair.key.stat().st_mode & 0o777
        if mode & _INSECURE_MODE:
            text = f"other users have access to the private key {pair.key} (mode {mode:o})"
            warnings.append(f"{text}: run chmod 600")
    return [text for text in warnings if text]


def _peer_certificate(pair: KeyPair) -> dict[str, Any]:
    """Return the certificate as `getpeercert` does. Any: a tree of tuples and strings.

    Python's ssl parses only certificates that a peer has presented, so a client and a server shake
    hands in memory.
    """
    trusting = pinned_context(pair.certificate)
    trusting.verify_flags |= _NO_CHECK_TIME
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusting.wrap_bio(to_client, to_server)
    context = server_context(pair, protocols=())
    server = context.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(_HANDSHAKE_ROUNDS):
        for side in (client, server):
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
    return client.getpeercert() or {}


def _load_ca(context: ssl.SSLContext, ca: Path) -> None:
    _check_pem("CA bundle", ca, "CERTIFICATE")
    try:
        context.load_verify_locations(ca)
    except ssl.SSLError as error:
        raise TlsError(f"the CA bundle {ca} is invalid ({error.reason}); {_ADVICE}") from None


def _check_pem(what: str, path: Path, label: str) -> None:
    """Raise TlsError unless the file contains a PEM block with this label."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise TlsError(f"the {what} {path} cannot be read: {error.strerror}; {_ADVICE}") from None
    if f"{label}-----".encode() not in content:
        message = f"the {what} {path}: expected PEM with '-----BEGIN … {label}-----'"
        raise TlsError(f"{message}, got something else; {_ADVICE}")
