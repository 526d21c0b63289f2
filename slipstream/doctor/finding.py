"""What a check finds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How serious a finding is."""

    GOOD = "good"
    WARNING = "warning"
    """It works, but needs attention."""
    WRONG = "wrong"
    """It does not work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The result of one check."""

    subject: str
    level: Level
    message: str
    fix: str = ""
    """How to fix it; empty if there is nothing to fix."""


def good(subject: str, message: str) -> Finding:
    """Return that something is as it should be."""
    return Finding(subject=subject, level=Level.GOOD, message=message)


def warning(subject: str, message: str, fix: str) -> Finding:
    """Return that something needs attention."""
    return Finding(subject=subject, level=Level.WARNING, message=message, fix=fix)


def wrong(subject: str, message: str, fix: str) -> Finding:
    """Return that something does not work."""
    return Finding(subject=subject, level=Level.WRONG, message=message, fix=fix)
