"""The receiver's log: one line per message."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class MessageKind(StrEnum):
    """Whether a message was complete and correctly signed."""

    GOOD = "good"
    """Complete, with a valid signature."""
    BAD = "bad"
    """Complete, with an invalid signature."""
    TRUNCATED = "truncated"
    """Incomplete: the sender was killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    """One message."""

    at: float
    """Seconds since 1970."""
    path: str
    kind: MessageKind
    status: int
    """The status of the response; 0 without one."""
    run_id: str
    message_id: str
    attempt: int
    digest: str
    """The digest of its body."""

    @property
    def arrived(self) -> bool:
        """Whether the receiver accepted it."""
        return self.kind is MessageKind.GOOD and self.status == 200

    def line(self) -> str:
        """Return the entry as a line of the log."""
        numbers = f"{self.at:.6f}\t{self.path}\t{self.kind}\t{self.status}"
        return f"{numbers}\t{self.run_id}\t{self.message_id}\t{self.attempt}\t{self.digest}\n"

    @classmethod
    def read(cls, line: str) -> LogEntry:
        """Parse a line of the log."""
        at, path, kind, status, run_id, message_id, attempt, digest = line.split("\t")
        return cls(
            at=float(at),
            path=path,
            kind=MessageKind(kind),
            status=int(status),
            run_id=run_id,
            message_id=message_id,
            attempt=int(attempt),
            digest=digest,
        )


class ReceiverLog:
    """The receiver's log, read as it grows.

    Attributes:
        entries: all entries read so far, in order.
        arrived: the runs whose events the receiver has accepted.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = 0
        self.entries: list[LogEntry] = []
        self.arrived: set[str] = set()

    def read(self) -> None:
        """Read the new lines."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._at)
            whole, _, _ = file.read().rpartition(b"\n")
        if not whole:
            return
        self._at += len(whole) + 1
        for line in whole.decode().split("\n"):
            entry = LogEntry.read(line)
            self.entries.append(entry)
            if entry.arrived:
                self.arrived.add(entry.run_id)
