"""Redaction of API keys in log lines and in messages to clients."""

from __future__ import annotations

import re

_COMPLETE_KEY = r"(?P<start>sk-[0-9A-Za-z]{5})[0-9A-Za-z]{36}(?P<end>[0-9A-Za-z]{5})(?![0-9A-Za-z])"
_KEY = re.compile(
    rf"{_COMPLETE_KEY}|(?:(?<![0-9A-Za-z])|(?<=\\[nrt]))sk-[0-9A-Za-z_-]{{8,}}|sk-[0-9A-Za-z]{{20,}}"
)
"""A key, or the beginning of one, as a separate word ("risk-assessment" contains none), also after
a newline escaped by JSON; and a complete key even inside a word.
"""
_CERTAIN_KEY = re.compile(rf"{_COMPLETE_KEY}|sk-[0-9A-Za-z]{{20,}}")
"""Text that can only be a key, possibly truncated: no name given by a user looks like that."""
_MASK = "********"


def redact_log(text: str) -> str:
    """Return `text` with everything that resembles an API key replaced; for log lines.

    A complete key is replaced by its mask, as lists of keys show it; anything else completely.
    """
    return _KEY.sub(_mask, text) if "sk-" in text else text


def redact_message(text: str) -> str:
    """Return `text` with API keys replaced but names such as `sk-learn` kept; for messages."""
    return _CERTAIN_KEY.sub(_mask, text) if "sk-" in text else text


def _mask(found: re.Match[str]) -> str:
    start, end = found["start"], found["end"]
    return f"sk-{_MASK}" if start is None else f"{start}{_MASK}{end}"
