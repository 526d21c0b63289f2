"""The signatures in a header, read as they were probably meant. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from gateway.webhooks.findings import Finding, Place
from gateway.webhooks.secret_faults import lenient
from gateway.webhooks.signature import VERSION

HASHES: Mapping[int, str] = {32: "sha256", 20: "sha1", 64: "sha512"}
"""Bytes of a digest → what made it."""

_COMMA = r",\s*(?=v\d+[a-z]?,)"
"""Between two signatures; base64 may begin with v1, too, and has no comma."""
_BETWEEN = re.compile(rf"\s+|{_COMMA}")
_VERSIONED = re.compile(r"(?P<version>v\d+[a-z]?)(?P<sign>[,=:])(?P<rest>.*)", re.DOTALL)
_HEX = re.compile(r"(?:[0-9a-fA-F]{2})+")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadSignature:
    """One signature of a header."""

    number: int
    """Counted from 1."""
    digest: bytes
    faults: tuple[Finding, ...]
    """What is wrong with how it is written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadSignatures:
    """All signatures of a header."""

    items: Sequence[ReadSignature]
    remarks: tuple[Finding, ...]
    """About the header as a whole, and about what is no signature in it."""


def read_signatures(header: str) -> ReadSignatures:
    """Return the signatures that a header holds, and what is wrong with the rest of it."""
    items: list[ReadSignature] = []
    remarks: list[Finding] = []
    if re.search(_COMMA, header):
        remarks.append(
            _finding(
                "signatures_with_commas",
                "the signatures are separated by commas: expected a space between two",
            )
        )
    for number, entry in enumerate(_BETWEEN.split(header.strip().strip("\"'")), 1):
        version, rest, form = _opened(entry)
        if version != VERSION:
            message = f"signature {number} is of version {version}, which takes a public key"
            remarks.append(_finding("signature_other_version", message, fault=False))
            continue
        digest, writing = _digest(rest)
        if digest is None or len(digest) not in HASHES:
            remarks.append(_unreadable(number, digest))
            continue
        items.append(ReadSignature(number=number, digest=digest, faults=(*form, *writing)))
    return ReadSignatures(items=items, remarks=tuple(remarks))


def _opened(entry: str) -> tuple[str, str, list[Finding]]:
    """Return version, digest and faults of one signature; what has no version is taken as v1."""
    found = _VERSIONED.fullmatch(entry)
    if found is not None:
        sign = found["sign"]
        wrong = [] if sign == "," else [_finding("signature_separator", _SEPARATOR.format(sign))]
        return found["version"], found["rest"], wrong
    name, equals, rest = entry.partition("=")
    of_github = bool(equals) and name.lower() in HASHES.values()
    return VERSION, rest if of_github else entry, [_finding("signature_without_version", _BARE)]


_SEPARATOR = "a signature is written with v1{}: expected v1, (a comma) and the base64"
_BARE = "v1, is missing: expected v1, and the base64 of the HMAC"


def _digest(text: str) -> tuple[bytes | None, list[Finding]]:
    if _HEX.fullmatch(text) and len(text) // 2 in HASHES:
        message = "the signature is a hex digest: expected base64 of the digest's bytes"
        return bytes.fromhex(text), [_finding("signature_hex", message)]
    return lenient(text), list(_base64_faults(text))


def _base64_faults(text: str) -> Iterator[Finding]:
    if "-" in text or "_" in text:
        message = "the signature is in the URL-safe alphabet (- and _): expected + and /"
        yield _finding("signature_url_safe", message)
    if len(text) % 4:
        message = "the signature lacks the = at its end: expected base64 with padding"
        yield _finding("signature_unpadded", message)


def _unreadable(number: int, digest: bytes | None) -> Finding:
    if digest is None:
        message = f"signature {number} is not base64: it was cut, or changed on its way"
        return _finding("signature_not_base64", message)
    message = (
        f"signature {number} has {len(digest)} bytes: expected the 32 of HMAC-SHA-256; it was cut, "
        "or something else was encoded"
    )
    return _finding("signature_length", message)


def _finding(code: str, message: str, *, fault: bool = True) -> Finding:
    return Finding(code=code, place=Place.SIGNATURE, message=message, fault=fault)
