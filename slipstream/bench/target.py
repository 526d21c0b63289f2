"""What is called: a URL, a body and a key."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import orjson

_PORTS = {"http": 80, "https": 443}
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class TargetError(ValueError):
    """A URL, a body or a key cannot be used; the message says what was expected and what came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One call, as it is made again and again.

    Raises:
        TargetError: the URL or the key cannot be sent.
    """

    url: str
    body: bytes
    """JSON."""
    key: str | None
    """None sends none, which is enough where /v2 is open to everybody."""
    certificate: Path | None = None
    """That of a gateway on this machine, by which it is known; None: by whom the system trusts."""

    def __post_init__(self) -> None:
        _check_url(self.url)
        if self.key is not None and not (self.key.isascii() and self.key.isprintable()):
            raise TargetError("the key: expected sk- and letters and digits, got other characters")

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
        """The port, also where the URL leaves it out."""
        return self._parts.port or _PORTS[self._parts.scheme]

    @property
    def is_local(self) -> bool:
        """Whether what is called runs on this machine."""
        return self.host in _LOOPBACK

    @property
    def path(self) -> str:
        """Path and query."""
        query = f"?{self._parts.query}" if self._parts.query else ""
        return (self._parts.path or "/") + query

    @property
    def headers(self) -> dict[str, str]:
        """What is sent beside Host and Content-Length."""
        headers = {"Content-Type": "application/json", "User-Agent": "slipstream-bench"}
        return headers if self.key is None else {**headers, "X-API-Key": self.key}

    def request(self) -> bytes:
        """Return the whole HTTP/1.1 request; the connection is kept."""
        lines = [f"POST {self.path} HTTP/1.1", f"Host: {self._authority}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        lines += [f"Content-Length: {len(self.body)}", "", ""]
        return "\r\n".join(lines).encode() + self.body

    @property
    def _parts(self) -> SplitResult:
        return urlsplit(self.url)

    @property
    def _authority(self) -> str:
        return self._parts.netloc


def is_url(text: str) -> bool:
    """Whether `text` is meant as a URL and not as a deployment."""
    return "://" in text


def url_target(url: str, body: bytes | None, key: str | None) -> Target:
    """Return the call of a URL; raise TargetError where there is no body for it."""
    if body is None:
        raise TargetError("a URL takes a body: give it with --data JSON or --data @FILE")
    return Target(url=url, body=body, key=key)


def read_body(data: str) -> bytes:
    """Return the body that `--data` means: JSON, or `@` and the path of a file with it.

    Raises:
        TargetError: there is no such file, or it is not JSON.
    """
    where, content = "--data", data.encode()
    if data.startswith("@"):
        where = f"the file '{data[1:]}'"
        try:
            content = Path(data[1:]).read_bytes()
        except OSError as error:
            raise TargetError(f"{where} cannot be read: {error.strerror}") from None
    try:
        orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise TargetError(f"{where}: expected JSON, got {content[:40]!r} ({error})") from None
    return content


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        port_fits = parts.port != 0
    except ValueError as error:
        raise TargetError(f"the URL '{url}': {error}") from None
    whole = parts.scheme in _PORTS and parts.hostname and port_fits and not parts.username
    if not whole or not url.isascii() or not url.isprintable() or " " in url:
        example = "http://127.0.0.1:8080/v2/models/iris/infer"
        raise TargetError(f"the URL: expected one such as {example}, got '{url}'")
