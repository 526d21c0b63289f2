"""API keys in text are replaced: in whatever is logged, and in whatever callers are told."""

from __future__ import annotations

import re

_WHOLE = r"(?P<start>sk-[0-9A-Za-z]{5})[0-9A-Za-z]{36}(?P<end>[0-9A-Za-z]{5})(?![0-9A-Za-z])"
_KEY = re.compile(
    rf"{_WHOLE}|(?:(?<![0-9A-Za-z])|(?<=\\[nrt]))sk-[0-9A-Za-z_-]{{8,}}|sk-[0-9A-Za-z]{{20,}}"
)
"""A key, or the beginning of one, as a word of its own ("risk-assessment" holds none), also after a
newline that JSON has escaped; and a whole key wherever it is glued to something.
"""
_CERTAIN = re.compile(rf"{_WHOLE}|sk-[0-9A-Za-z]{{20,}}")
"""What is nothing but a key, cut off perhaps: no name that a person gave looks like that."""
_HIDDEN = "********"


def redact_log(text: str) -> str:
    """Return `text` with everything that looks like an API key replaced; for logs.

    Of a whole key its mask stays, as lists of keys show it, of anything else nothing.
    """
    return _KEY.sub(_masked, text) if "sk-" in text else text


def redact_message(text: str) -> str:
    """Return `text` with API keys replaced, and names such as `sk-learn` left; for messages."""
    return _CERTAIN.sub(_masked, text) if "sk-" in text else text


def _masked(found: re.Match[str]) -> str:
    start, end = found["start"], found["end"]
    return f"sk-{_HIDDEN}" if start is None else f"{start}{_HIDDEN}{end}"
