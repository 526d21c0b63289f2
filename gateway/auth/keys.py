"""The format of API keys: `sk-`, 40 random characters, and a checksum that detects typos.

A key is stored only as a hash keyed with the installation's pepper. Keys are random, so no slow
password hash is needed.
"""

from __future__ import annotations

import secrets
import zlib
from hashlib import blake2b

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PAIRS = tuple(high + low for high in _ALPHABET for low in _ALPHABET)
_PREFIX = "sk-"
_RANDOM_LENGTH = 40
_CHECKSUM_LENGTH = 6
_MASK = "********"
_DIGEST_BYTES = 32

KEY_LENGTH = len(_PREFIX) + _RANDOM_LENGTH + _CHECKSUM_LENGTH
PREFIX_LENGTH = 8
"""Characters at the start of a key that stay visible when it is masked."""
SUFFIX_LENGTH = 5
"""Characters at the end of a key that stay visible when it is masked."""


def generate_key() -> str:
    """Return a new key with 238 random bits."""
    body = _PREFIX + "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM_LENGTH))
    return body + checksum(body)


def checksum(body: str) -> str:
    """Return the last six characters of a key that starts with `body`: CRC-32 in base 62."""
    rest, low = divmod(zlib.crc32(body.encode()), len(_PAIRS))
    high, middle = divmod(rest, len(_PAIRS))
    return _PAIRS[high] + _PAIRS[middle] + _PAIRS[low]


def is_well_formed(key: str) -> bool:
    """Whether format and checksum of `key` are valid, so that a query makes sense."""
    if len(key) != KEY_LENGTH or not key.startswith(_PREFIX) or not key.isascii():
        return False
    return (
        key[-_CHECKSUM_LENGTH:] == checksum(key[:-_CHECKSUM_LENGTH])
        and key[len(_PREFIX) :].isalnum()
    )


def format_errors(key: str) -> list[str]:
    """Return why `key` is malformed, without revealing any part of it.

    The checksum shows that a character is wrong, not which one.
    """
    if _MASK in key:
        return ["this is a masked key, as lists show it: the key itself was shown only once"]
    found = []
    if not key.startswith(_PREFIX):
        found.append(f"prefix: expected {_PREFIX} at the start")
    if len(key) != KEY_LENGTH:
        found.append(f"length: expected {KEY_LENGTH} characters, got {len(key)}")
    places = [place for place, letter in enumerate(key, 1) if letter not in _ALPHABET]
    strange = [place for place in places if place > len(_PREFIX) or not key.startswith(_PREFIX)]
    if strange:
        more = f" and {len(strange) - 1} more" if strange[1:] else ""
        found.append(f"alphabet: expected 0-9, A-Z and a-z, got others at {strange[0]}{more}")
    if not found and not is_well_formed(key):
        found.append("checksum: does not match: a character was mistyped, or two were swapped")
    return found


def mask(prefix: str, suffix: str) -> str:
    """Return the masked form of a key, such as `sk-EuT64********vsQa1`."""
    return prefix + _MASK + suffix


class KeyHasher:
    """BLAKE2b keyed with the pepper (RFC 7693). The keyed state is computed once and copied."""

    def __init__(self, pepper: bytes) -> None:
        key = pepper if len(pepper) <= blake2b.MAX_KEY_SIZE else blake2b(pepper).digest()
        self._keyed = blake2b(key=key, digest_size=_DIGEST_BYTES)

    def digest(self, key: str) -> bytes:
        """Return the 32-byte hash of `key`; raise UnicodeEncodeError for a lone surrogate."""
        state = self._keyed.copy()
        state.update(key.encode())
        return state.digest()
