"""What the load generator is asked to do, as sent to its process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Self

import orjson

from slipstream.bench.target import BenchTarget


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPlan:
    """One load on one address. Times are in seconds."""

    host: str
    port: int
    tls: bool
    requests: tuple[bytes, ...]
    """Whole HTTP requests, sent in turn."""
    connections: int
    """Kept open; each has at most one call in flight. With a `rate`: at most so many."""
    seconds: float
    """How long to measure."""
    warmup: float
    """The same load before that, not counted."""
    rate: float | None = None
    """Calls per second, arriving at random (Poisson) whether or not earlier ones are answered.
    None is a closed loop: each connection calls again as soon as it has its answer."""
    deadline: float = 60.0
    """With a `rate`: a later answer does not count as good, and a call that could not be sent
    within it is dropped."""
    certificate: str | None = None
    """File with the server's certificate, where the client pins it."""

    @classmethod
    def of(cls, target: BenchTarget, *, connections: int, seconds: float, warmup: float) -> Self:
        """Return a closed loop on `target`."""
        return cls(
            host=target.host,
            port=target.port,
            tls=target.tls,
            requests=(target.request(),),
            connections=connections,
            seconds=seconds,
            warmup=warmup,
            certificate=str(target.certificate) if target.certificate else None,
        )

    def to_line(self) -> bytes:
        """Return the plan as one line of JSON."""
        # A body may hold any bytes; latin-1 maps each to one character.
        requests: Sequence[str] = [request.decode("latin-1") for request in self.requests]
        return orjson.dumps({**asdict(self), "requests": requests}) + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Self:
        """Return the plan that `to_line` wrote."""
        values = orjson.loads(line)
        requests = tuple(request.encode("latin-1") for request in values["requests"])
        return cls(**{**values, "requests": requests})
