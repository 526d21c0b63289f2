"""The `Prefer` header (RFC 7240)."""

from __future__ import annotations

import re
from dataclasses import dataclass

HEADER = b"prefer"

_WORD = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_PREFERENCE = re.compile(
    rf"""\s*({_WORD})(?:\s*=\s*({_WORD}|"(?:[^"\\]|\\.)*"))?((?:\s*;[^,"]*(?:"[^"]*"[^,"]*)*)?)\s*"""
)
_MAX_DIGITS = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Preferences:
    """A caller's preferences; unknown and malformed ones are ignored."""

    respond_async: bool = False
    """Respond with the URL of the result in place of waiting for it."""
    wait: int | None = None
    """Seconds within which to respond."""
    strict: bool = False
    """`handling=strict`: fail where a preference cannot be met."""

    def applied(self, *, waited: float | None = None, responded_async: bool = False) -> str | None:
        """Return `Preference-Applied` for the preferences that were applied; None for none.

        `waited` is how many seconds the response was allowed to take because of `wait`.
        """
        done = []
        if responded_async and self.respond_async:
            done.append("respond-async")
        if waited is not None and self.wait is not None:
            done.append(f"wait={int(waited)}")
        return ", ".join(done) or None


NO_PREFERENCES = Preferences()


def read_preferences(value: bytes | str | None) -> Preferences:
    """Parse a `Prefer` header; of several values of one name, the first counts."""
    if not value:
        return NO_PREFERENCES
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    found: dict[str, str] = {}
    position = 0
    while position < len(text):
        match = _PREFERENCE.match(text, position)
        if match is not None:
            name, given, _ = match.groups()
            found.setdefault(name.lower(), _unquoted(given or ""))
            position = match.end()
        comma = text.find(",", position)
        if comma < 0:
            break
        position = comma + 1
    return Preferences(
        respond_async="respond-async" in found,
        wait=_seconds(found.get("wait")),
        strict=found.get("handling", "").lower() == "strict",
    )


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if text.startswith('"') else text


def _seconds(text: str | None) -> int | None:
    if text is None or not text.isascii() or not text.isdigit():
        return None
    return int(text[:_MAX_DIGITS])
