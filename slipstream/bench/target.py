"""The call that is measured: a URL, a body and a key."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import orjson

_PORTS = {"http": 80, "https": 443}
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class BenchTargetError(ValueError):
    """The URL, the body or the key is unusable; the message says what was expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchTarget:
    """The call that is repeated.

    Raises:
        BenchTargetError: the URL or the key is malformed.
    """

    url: str
    body: bytes
    """JSON."""
    key: str | None
    """None sends no key, which is enough where /v2 is public."""
    certificate: Path | None = None
    """Certificate to pin, of a gateway on this machine; None uses the system's CA bundle."""

    def __post_init__(self) -> None:
        _check_url(self.url)
        if self.key is not None and not (self.key.isascii() and self.key.isprintable()):
            raise BenchTargetError(
                "the key: expected sk- followed by letters and digits, got other characters"
            )

    @property
    def tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self._parts.scheme == "https"

    @property
    def host(self) -> str:
        """Name or address, without the brackets of IPv6."""
        return self._parts.hostname or ""

    @property
    def port(self) -> int:
        """The port, with the scheme's default."""
        return self._parts.port or _PORTS[self._parts.scheme]

    @property
    def is_local(self) -> bool:
        """Whether the URL is on this machine."""
        return self.host in _LOOPBACK

    @property
    def path(self) -> str:
        """Path and query."""
        query = f"?{self._parts.query}" if self._parts.query else ""
        return (self._parts.path or "/") + query

    @property
    def headers(self) -> dict[str, str]:
        """Headers other than Host and Content-Length."""
        headers = {"Content-Type": "application/json", "User-Agent": "slipstream-bench"}
        return headers if self.key is None else {**headers, "X-API-Key": self.key}

    def request(self) -> bytes:
        """Return the whole HTTP/1.1 request, for a keep-alive connection."""
        lines = [f"POST {self.path} HTTP/1.1", f"Host: {self._parts.netloc}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        lines += [f"Content-Length: {len(self.body)}", "", ""]
        return "\r\n".join(lines).encode() + self.body

    @property
    def _parts(self) -> SplitResult:
        return urlsplit(self.url)


def is_url(text: str) -> bool:
    """Whether `text` is a URL rather than a deployment."""
    return "://" in text


def url_target(url: str, body: bytes | None, key: str | None) -> BenchTarget:
    """Return the call of a URL; raise BenchTargetError without a body."""
    if body is None:
        raise BenchTargetError("a URL needs a body: give it with --data JSON or --data @FILE")
    return BenchTarget(url=url, body=body, key=key)


def read_body(data: str) -> bytes:
    """Return the body given with `--data`: JSON, or `@` and the path of a file with it.

    Raises:
        BenchTargetError: the file cannot be read, or the body is not JSON.
    """
    where, content = "--data", data.encode()
    if data.startswith("@"):
        where = f"the file '{data[1:]}'"
        try:
            content = Path(data[1:]).read_bytes()
        except OSError as error:
            raise BenchTargetError(f"{where} cannot be read: {error.strerror}") from None
    try:
        orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise BenchTargetError(f"{where}: expected JSON, got {content[:40]!r} ({error})") from None
    return content


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        port_is_valid = parts.port != 0
    except ValueError as error:
        raise BenchTargetError(f"the URL '{url}': {error}") from None
    valid = parts.scheme in _PORTS and parts.hostname and port_is_valid and not parts.username
    if not valid or not url.isascii() or not url.isprintable() or " " in url:
        example = "http://127.0.0.1:8080/v2/models/iris/infer"
        raise BenchTargetError(f"the URL: expected one such as {example}, got '{url}'")
