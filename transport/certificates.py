"""Certificates and keys as files: read, checked, and made into contexts, with reasons in words."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_MISMATCH = "KEY_VALUES_MISMATCH"
_ADVICE = "see docs/tls.md"


class TlsError(Exception):
    """Files that TLS cannot work with; the message names the file, and says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPair:
    """The PEM files of a certificate, with the chain up to its root, and of its private key."""

    certificate: Path
    key: Path

    def load_into(self, context: ssl.SSLContext) -> None:
        """Have a context use them.

        Raises:
            TlsError: one cannot be read or is none, or the key belongs to another certificate.
        """
        _read("certificate", self.certificate, "CERTIFICATE")
        _read("private key", self.key, "PRIVATE KEY")
        try:
            context.load_cert_chain(self.certificate, self.key, password=self._encrypted)
        except ssl.SSLError as error:
            if error.reason == _MISMATCH:
                message = f"the private key {self.key} belongs to another certificate than"
                raise TlsError(f"{message} {self.certificate}; {_ADVICE}") from None
            message = f"{self.certificate} and {self.key} are no certificate and private key"
            raise TlsError(f"{message} in PEM ({error.reason}); {_ADVICE}") from None

    def _encrypted(self) -> str:
        message = f"the private key {self.key} is encrypted, and there is nobody to ask"
        raise TlsError(f"{message}: decrypt it with `openssl pkey -in … -out …`")


def pair_of(
    certificate: Path | None, key: Path | None, *, called: tuple[str, str]
) -> KeyPair | None:
    """Return the pair that two settings mean, or None where neither is set.

    Raises:
        TlsError: only one is set; `called` are the settings' names.
    """
    if certificate is not None and key is not None:
        return KeyPair(certificate=certificate, key=key)
    if certificate is None and key is None:
        return None
    given, missing = called if key is None else called[::-1]
    raise TlsError(f"{given} is set and {missing} is not: TLS takes both; {_ADVICE}")


def server_context(
    pair: KeyPair, *, protocols: Sequence[str], client_ca: Path | None = None
) -> ssl.SSLContext:
    """Return what a listener needs: TLS 1.2 or newer, with Python's choice of ciphers.

    Args:
        pair: what the server shows.
        protocols: that it speaks, for ALPN.
        client_ca: PEM file with those who vouch for clients; with it, each has to show a
            certificate.

    Raises:
        TlsError: a file cannot be used.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    pair.load_into(context)
    context.set_alpn_protocols(list(protocols))
    if client_ca is not None:
        _trust(context, client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
        # Whoever comes again shows the certificate again: it may have expired, or lost its CA.
        context.num_tickets = 0
        context.options |= ssl.OP_NO_TICKET
    return context


def client_context(
    *, protocols: Sequence[str], ca: Path | None = None, pair: KeyPair | None = None
) -> ssl.SSLContext:
    """Return what a client needs, which checks the server's certificate and its name.

    Args:
        protocols: that it speaks, for ALPN.
        ca: PEM file with those who vouch for servers; None: those that the system trusts.
        pair: what the client shows where it is asked.

    Raises:
        TlsError: a file cannot be used.
    """
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH)
    if ca is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # which trusts nobody by itself
        _trust(context, ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(list(protocols))
    if pair is not None:
        pair.load_into(context)
    return context


def pinned_context(certificate: Path) -> ssl.SSLContext:
    """Return what a client needs that trusts this certificate, and its chain, by any name.

    It is right for who reads the server's own files, on the same machine: the address by which the
    server is called there is hardly ever in its certificate.

    Raises:
        TlsError: the file cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    _trust(context, certificate)
    return context


def _trust(context: ssl.SSLContext, ca: Path) -> None:
    _read("CA file", ca, "CERTIFICATE")
    try:
        context.load_verify_locations(ca)
    except ssl.SSLError as error:
        raise TlsError(f"the CA file {ca} is broken ({error.reason}); {_ADVICE}") from None


def _read(what: str, path: Path, label: str) -> None:
    """Raise TlsError unless there is a PEM block of the kind in the file."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise TlsError(f"the {what} {path} cannot be read: {error.strerror}; {_ADVICE}") from None
    if f"{label}-----".encode() not in content:
        message = f"the {what} {path}: expected PEM with '-----BEGIN … {label}-----'"
        raise TlsError(f"{message}, got something else; {_ADVICE}")
