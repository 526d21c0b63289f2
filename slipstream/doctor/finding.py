"""What a check has found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is."""

    GOOD = "good"
    """As it should be."""
    WARNING = "warning"
    """It works, and somebody should know about it."""
    WRONG = "wrong"
    """It does not work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    subject: str
    level: Level
    message: str
    fix: str = ""
    """What to do about it; empty where nothing needs to be done."""


def good(subject: str, message: str) -> Finding:
    """Return a finding that all is well."""
    return Finding(subject=subject, level=Level.GOOD, message=message)


def warning(subject: str, message: str, fix: str) -> Finding:
    """Return a finding that somebody should know about."""
    return Finding(subject=subject, level=Level.WARNING, message=message, fix=fix)


def wrong(subject: str, message: str, fix: str) -> Finding:
    """Return a finding that something does not work."""
    return Finding(subject=subject, level=Level.WRONG, message=message, fix=fix)
