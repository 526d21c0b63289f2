"""Which broker it is, read from its URL."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

_VISIBILITY = "visibility_timeout"


class BrokerError(Exception):
    """The broker's URL cannot be used; the message says why, and never holds a password."""


class BrokerKind(StrEnum):
    """What stands behind the URL."""

    FOLDER = "folder"
    """A folder of this machine, and no server at all."""
    REDIS = "redis"
    AMQP = "amqp"
    """RabbitMQ, or what speaks like it."""


_SCHEMES = {
    "redis": BrokerKind.REDIS,
    "rediss": BrokerKind.REDIS,
    "amqp": BrokerKind.AMQP,
    "amqps": BrokerKind.AMQP,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """A broker, and the part of it that is ours."""

    kind: BrokerKind
    url: str
    folder: Path
    """Absolute; used where the kind is FOLDER."""
    prefix: str
    """Of our queues' names."""
    visibility_timeout: float | None = None
    """Redis: seconds after which a message that was fetched and not acknowledged comes again."""

    @property
    def delivers_on_demand(self) -> bool:
        """Whether a worker can leave there what it has no free child for.

        Not with AMQP: its consumers are sent messages ahead of time.
        """
        return self.kind is not BrokerKind.AMQP

    @property
    def display_url(self) -> str:
        """The broker as people may see it: without a password."""
        if self.kind is BrokerKind.FOLDER:
            return f"the folder {self.folder}"
        parsed = urlsplit(self.url)
        host = parsed.netloc.rpartition("@")[2]
        return f"{parsed.scheme}://{host}{parsed.path}"


def parse_broker_url(url: str | None, *, folder: Path, prefix: str) -> Broker:
    """Return the broker behind `url`, or the one in `folder` where there is none.

    Raises:
        BrokerError: the URL is of no kind that is known.
    """
    folder = folder.absolute()
    if url is None:
        return Broker(kind=BrokerKind.FOLDER, url="", folder=folder, prefix=prefix)
    try:
        parsed = urlsplit(url)
        kind = _SCHEMES[parsed.scheme]
    except (ValueError, KeyError):
        message = "expected redis://…, rediss://…, amqp://… or amqps://…"
        scheme = f"{url.partition(':')[0][:20]}:" if ":" in url else "something else"
        raise BrokerError(f"{message}: SLIPSTREAM_BROKER_URL is {scheme}") from None
    visibility = None
    if kind is BrokerKind.REDIS and parsed.query:
        visibility = _visibility(parsed.query)
        url = parsed._replace(query="").geturl()
    return Broker(kind=kind, url=url, folder=folder, prefix=prefix, visibility_timeout=visibility)


def _visibility(query: str) -> float:
    given = parse_qs(query, keep_blank_values=True)
    try:
        (text,) = given.pop(_VISIBILITY)
        seconds = float(text)
    except (KeyError, ValueError):
        seconds = 0.0
    if given or not seconds > 0:
        message = f"expected no parameter but {_VISIBILITY}=SECONDS in a redis URL"
        raise BrokerError(f"{message}: SLIPSTREAM_BROKER_URL has ?{query[:60]}")
    return seconds
