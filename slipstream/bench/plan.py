"""What the generator is told to do, as it goes through a pipe."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Self

import orjson

from slipstream.bench.target import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One load on one target."""

    host: str
    port: int
    tls: bool
    request: bytes
    """The whole HTTP request."""
    connections: int
    """Callers; each has one call in flight."""
    seconds: float
    """How long to measure."""
    warmup: float
    """Seconds of the same load before that, which are not counted."""
    certificate: str | None = None
    """File with that of the server, where it is known by that."""

    @classmethod
    def of(cls, target: Target, *, connections: int, seconds: float, warmup: float) -> Self:
        """Return the plan to call `target`."""
        return cls(
            host=target.host,
            port=target.port,
            tls=target.tls,
            request=target.request(),
            connections=connections,
            seconds=seconds,
            warmup=warmup,
            certificate=str(target.certificate) if target.certificate else None,
        )

    def to_line(self) -> bytes:
        """Return the plan as one line of JSON."""
        # A body may hold any bytes; latin-1 gives each its character.
        values = {**asdict(self), "request": self.request.decode("latin-1")}
        return orjson.dumps(values) + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Self:
        """Return the plan that `to_line` wrote."""
        values = orjson.loads(line)
        return cls(**{**values, "request": values["request"].encode("latin-1")})
