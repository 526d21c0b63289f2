"""Parsing of URLs that users choose: what is checked here is what is sent, byte for byte."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from urllib.parse import SplitResult, quote, urlsplit

import idna

from gateway.errors import GatewayError
from gateway.outbound.addresses import METADATA_NAMES, Address
from protos.errors import ErrorCode

_MAX_HOST_LENGTH = 253
_DEFAULT_PORTS = {"http": 80, "https": 443}
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f\\]")
_NAME = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_-]{1,63}\.?")
_NUMERIC_LABEL = re.compile(r"0x[0-9a-f]*|[0-9]+")
"""With such a last label, some resolvers read the whole name as an IPv4 address."""
_PATH = "/%:@!$&'()*+,;=~"
"""Characters not percent-encoded in a path, beside letters, digits and `-._`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboundTarget:
    """Where a request goes."""

    scheme: str
    host: str
    """A name in its ASCII form, or an IP address without brackets."""
    port: int
    path: bytes
    """With the query."""
    authority: str
    """Host and, unless it is the scheme's own, port: the Host header."""


def parse_target(url: str, *, allow_http: bool) -> OutboundTarget:
    """Return the parsed URL, or raise GatewayError BLOCKED_TARGET with the reason.

    Resolves nothing: see `GuardedResolver.check`.
    """
    if _FORBIDDEN.search(url):
        raise _blocked("expected a URL without spaces, backslashes and control characters", url)
    try:
        parsed = urlsplit(url)
        host, port = parsed.hostname or "", parsed.port
    except ValueError:
        raise _blocked("expected a URL such as https://example.com/hook", url) from None
    _check_scheme(parsed.scheme, url, allow_http=allow_http)
    if "@" in parsed.netloc:
        raise _blocked("expected a URL without a user and password in it", url)
    host = _host(host, url)
    usual = _DEFAULT_PORTS[parsed.scheme]
    shown = f"[{host}]" if ":" in host else host
    return OutboundTarget(
        scheme=parsed.scheme,
        host=host,
        port=port or usual,
        path=_path(parsed),
        authority=shown if port in {None, usual} else f"{shown}:{port}",
    )


def ip_literal(host: str) -> Address | None:
    """Return the IP address that a host is; None if it is a name."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def _check_scheme(scheme: str, url: str, *, allow_http: bool) -> None:
    if scheme == "https" or (scheme == "http" and allow_http):
        return
    if scheme == "http":
        raise _blocked("expected https (SLIPSTREAM_WEBHOOK_ALLOW_HTTP=1 opens http)", url)
    raise _blocked("expected https", url)


def _host(host: str, url: str) -> str:
    """Return a host in canonical form: an address, or a name in ASCII."""
    address = ip_literal(host)
    if isinstance(address, IPv6Address) and address.scope_id:
        raise _blocked("expected an address without an interface in it", url)
    if address is not None:
        return str(address)
    name = _ascii(host, url)
    bare = name.rstrip(".")
    if not _NAME.fullmatch(name) or len(bare) > _MAX_HOST_LENGTH:
        raise _blocked(f"expected a host name of 1 to {_MAX_HOST_LENGTH} characters", url)
    if _NUMERIC_LABEL.fullmatch(bare.rpartition(".")[2]):
        raise _blocked("expected a name, or an IP address in its usual form", url)
    if bare in METADATA_NAMES:
        expected = "expected a host other than a cloud's metadata service, which has credentials"
        raise _blocked(expected, url)
    return name


def _ascii(host: str, url: str) -> str:
    if host.isascii():
        return host.lower()
    try:
        return idna.encode(host, uts46=True).decode("ascii").lower()
    except idna.IDNAError:
        raise _blocked("expected a host name that is valid in IDNA", url) from None


def _path(parsed: SplitResult) -> bytes:
    path = quote(parsed.path or "/", safe=_PATH)
    if parsed.query:
        path += "?" + quote(parsed.query, safe=_PATH + "?")
    return path.encode("ascii")


def _blocked(expected: str, url: str) -> GatewayError:
    """Return the error; of the URL only parts that cannot contain a secret."""
    shown = re.sub(r"//[^/]*@", "//…@", url.partition("?")[0])[:200]
    return GatewayError(ErrorCode.BLOCKED_TARGET, f"url: {expected}, got {shown!r}")
