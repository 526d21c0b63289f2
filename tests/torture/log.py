"""What the receiver wrote down: one line a message."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class MessageKind(StrEnum):
    """What a message was."""

    GOOD = "good"
    """Whole, and signed as it should be."""
    BAD = "bad"
    """Whole, and signed wrongly."""
    TRUNCATED = "truncated"
    """Its sender died before its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    """One message."""

    at: float
    """Seconds since 1970."""
    path: str
    kind: MessageKind
    status: int
    """That it was answered with; 0: with nothing."""
    run_id: str
    message_id: str
    attempt: int
    digest: str
    """Of its body."""

    @property
    def arrived(self) -> bool:
        """Whether the receiver has taken it."""
        return self.kind is MessageKind.GOOD and self.status == 200

    def line(self) -> str:
        """Return it as the log_path has it."""
        numbers = f"{self.at:.6f}\t{self.path}\t{self.kind}\t{self.status}"
        return f"{numbers}\t{self.run_id}\t{self.message_id}\t{self.attempt}\t{self.digest}\n"

    @classmethod
    def read(cls, line: str) -> LogEntry:
        """Return what a line of the log_path says."""
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
    """The receiver's file, read on as it grows.

    Attributes:
        entries: all that were read so far, in order.
        arrived: the runs whose events the receiver has taken.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = 0
        self.entries: list[LogEntry] = []
        self.arrived: set[str] = set()

    def read(self) -> None:
        """Read what has come since."""
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
