"""What happens when a node fails: how often it is tried again, and how the flow goes on. Pure."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.flows.findings import Findings
from gateway.flows.kinds.kind import StepError
from gateway.flows.plain import plain
from gateway.flows.reader import Reader


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How often a node is tried, where its failure may pass."""

    attempts: int = 1
    """In all."""
    delay_seconds: float = 1.0
    """Before the second attempt."""
    backoff: float = 2.0
    """Each further delay is so many times as long."""

    def delay(self, attempt: int) -> float:
        """Return the seconds to wait after the failed `attempt`, counted from 1."""
        return min(self.delay_seconds * self.backoff ** (attempt - 1), _LONGEST_DELAY)


@dataclass(frozen=True, slots=True, kw_only=True)
class OnError:
    """How the flow goes on after a node has failed for good."""

    goes_on: bool = False
    """False: the run fails."""
    output: Any = None
    """Stands for the output of the node, where the flow goes on. Any: JSON."""


_LONGEST_DELAY = 300.0
_MOST_ATTEMPTS = 10


def read_retry(raw: Mapping[str, Any], pointer: str, findings: Findings) -> Retry:
    """Return the node's `retry`."""
    members = Reader(raw, pointer, findings).object("retry")
    if not members:
        return Retry()
    reader = Reader(members, f"{pointer}/retry", findings)
    reader.known({"attempts", "delay_seconds", "backoff"})
    return Retry(
        attempts=reader.count("attempts", 3, least=1, most=_MOST_ATTEMPTS),
        delay_seconds=reader.number("delay_seconds", 1.0, least=0, most=_LONGEST_DELAY),
        backoff=reader.number("backoff", 2.0, least=1, most=10),
    )


def read_on_error(raw: Mapping[str, Any], pointer: str, findings: Findings) -> OnError:
    """Return the node's `on_error`."""
    value = raw.get("on_error", "fail")
    if value == "fail":
        return OnError()
    if value == "continue":
        return OnError(goes_on=True)
    if isinstance(value, dict) and set(value) == {"fallback"}:
        try:
            output, _, _ = plain(value["fallback"])
        except StepError as error:
            findings.add(f"{pointer}/on_error/fallback", error.message)
        else:
            return OnError(goes_on=True, output=output)
        return OnError()
    expected = 'expected "fail", "continue" or {"fallback": value}'
    findings.add(f"{pointer}/on_error", f"{expected}, got {reprlib.repr(value)}")
    return OnError()
