"""The broker that an installation uses, parsed from its URL, and the queues on it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

_OBSOLETE = "visibility_timeout"
"""A parameter of redis URLs that older versions needed; ignored. Redis delivers nothing again."""
TASK = "slipstream.run"
"""The one Celery task. Its argument is the id of a run."""


class Queue(StrEnum):
    """The queues: two, so that long runs never wait in front of short ones."""

    SYNC = "sync"
    """Runs that a caller waits for on an open connection."""
    ASYNC = "async"
    """All others; each may take hours."""

    def name_in(self, prefix: str) -> str:
        """Return its name at the broker, such as `slipstream.sync`."""
        return f"{prefix}.{self.value}"


def parse_queues(text: str) -> tuple[Queue, ...]:
    """Return the queues of a comma-separated list; raise ValueError for anything else."""
    try:
        return tuple(dict.fromkeys(Queue(word.strip()) for word in text.split(",")))
    except ValueError:
        raise ValueError(f"expected sync, async or sync,async, got '{text}'") from None


class BrokerError(Exception):
    """The broker's URL is invalid; the message says why, and never contains a password."""


class BrokerKind(StrEnum):
    """The kinds of brokers."""

    FOLDER = "folder"
    """A folder on this machine; no server."""
    REDIS = "redis"
    AMQP = "amqp"
    """RabbitMQ or a compatible broker."""


_SCHEMES = {
    "redis": BrokerKind.REDIS,
    "rediss": BrokerKind.REDIS,
    "amqp": BrokerKind.AMQP,
    "amqps": BrokerKind.AMQP,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """A broker, and how this installation uses it."""

    kind: BrokerKind
    url: str
    folder: Path
    """Absolute; used if the kind is FOLDER."""
    prefix: str
    """Prefix of the queues' names."""

    @property
    def delivers_on_demand(self) -> bool:
        """Whether messages stay at the broker until a worker asks for one.

        False for AMQP, which delivers messages to consumers ahead of time.
        """
        return self.kind is not BrokerKind.AMQP

    @property
    def display_url(self) -> str:
        """The broker without its password, for messages and logs."""
        if self.kind is BrokerKind.FOLDER:
            return f"the folder {self.folder}"
        parsed = urlsplit(self.url)
        host = parsed.netloc.rpartition("@")[2]
        return f"{parsed.scheme}://{host}{parsed.path}"


def parse_broker_url(url: str | None, *, folder: Path, prefix: str) -> Broker:
    """Return the broker of `url`; without a URL the one in `folder`.

    Raises:
        BrokerError: the URL has an unknown scheme or an unknown parameter.
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
    if kind is BrokerKind.REDIS and parsed.query:
        if parse_qs(parsed.query, keep_blank_values=True).keys() != {_OBSOLETE}:
            message = "expected no parameters in a redis URL"
            raise BrokerError(f"{message}: SLIPSTREAM_BROKER_URL has ?{parsed.query[:60]}")
        url = parsed._replace(query="").geturl()
    return Broker(kind=kind, url=url, folder=folder, prefix=prefix)
