"""Signatures as known mistakes would make them, until one fits. Pure."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from gateway.webhooks.findings import Finding, Place, SignedRequest
from gateway.webhooks.header_faults import whole_seconds
from gateway.webhooks.rewritings import rewritings
from gateway.webhooks.secret_faults import ReadSecret, hex_key, without_prefix
from gateway.webhooks.signature import SECRET_PREFIX
from gateway.webhooks.signature_faults import HASHES, ReadSignature

_MOST_MISTAKES = 2
"""At once: with more, something would fit that means nothing to anybody."""


@dataclass(frozen=True, slots=True)
class _Part:
    """A key, what stands before the body, or a body; and the mistakes that give it."""

    value: bytes
    mistakes: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """How a signature came about."""

    signature: ReadSignature
    mistakes: tuple[Finding, ...]


def explain(
    request: SignedRequest,
    signatures: Sequence[ReadSignature],
    secret: ReadSecret,
    previous: Sequence[bytes],
) -> Match | None:
    """Return the fewest mistakes that give one of the signatures, or None.

    `previous` are keys that were in force before.
    """
    by_digest = {signature.digest: signature for signature in reversed(signatures)}
    hashes = {HASHES[len(digest)] for digest in by_digest}
    parts = (
        [*_keys(secret), *_previous(previous)],
        list(_heads(request)),
        [
            _Part(request.body),
            *(_Part(each.body, each.findings) for each in rewritings(request.body)),
        ],
    )
    for key, head, body in sorted(product(*parts), key=_mistakes):
        made = (key, head, body)
        if _mistakes(made) > _MOST_MISTAKES:
            return None
        for name in hashes:
            signature = by_digest.get(hmac.digest(key.value, head.value + body.value, name))
            if signature is not None:
                found = tuple(mistake for part in made for mistake in part.mistakes)
                return Match(
                    signature=signature, mistakes=(*found, *_of_hash(name), *signature.faults)
                )
    return None


def head_of(request: SignedRequest) -> bytes:
    """Return what is signed before the body."""
    return f"{(request.message_id or '').strip()}.{(request.timestamp or '').strip()}.".encode()


def _mistakes(made: Sequence[_Part]) -> int:
    return sum(bool(part.mistakes) for part in made)


def _keys(secret: ReadSecret) -> Iterator[_Part]:
    text, bare = secret.text, without_prefix(secret.text)
    if secret.key is not None:
        yield _Part(secret.key)
    decode = f"expected the bytes that the base64 after {SECRET_PREFIX} stands for"
    wrong: list[tuple[str, str, bytes | None]] = [
        ("key_is_text", "the whole secret's text", text.encode()),
        ("key_is_text", f"the text after {SECRET_PREFIX}, not decoded,", bare.encode()),
        (
            "key_with_prefix",
            f"{SECRET_PREFIX} decoded along with the rest",
            _prefix_decoded(text, "/"),
        ),
        (
            "key_with_prefix",
            f"{SECRET_PREFIX} decoded along with the rest",
            _prefix_decoded(text, ""),
        ),
        ("key_is_hex", "the secret read as hex", hex_key(bare)),
    ]
    if secret.key is not None:
        as_string = secret.key.decode("latin-1").encode()
        wrong += [
            ("key_is_hex", "the key's hex digits as text", secret.key.hex().encode()),
            ("key_is_string", "the decoded secret as a string, encoded once more,", as_string),
        ]
    for code, what, value in wrong:
        if value is not None and value != secret.key:
            message = f"the signature fits with {what} as the key: {decode}"
            yield _Part(value, (Finding(code=code, place=Place.SECRET, message=message),))


def _previous(keys: Sequence[bytes]) -> Iterator[_Part]:
    for key in keys:
        message = (
            "the signature fits with the previous secret only: the sender has not heard of the "
            "new one, or the request is older than that"
        )
        yield _Part(key, (Finding(code="previous_secret", place=Place.SECRET, message=message),))


def _prefix_decoded(text: str, underscore: str) -> bytes | None:
    """Return what lax decoders make of the whole secret: they read `_` as /, or not at all."""
    plain = text.replace("-", "+").replace("_", underscore).rstrip("=")
    whole = plain[: len(plain) - 1] if len(plain) % 4 == 1 else plain
    try:
        return base64.b64decode(whole + "=" * (-len(whole) % 4))
    except ValueError:
        return None


def _heads(request: SignedRequest) -> Iterator[_Part]:
    message_id, at = (request.message_id or "").strip(), (request.timestamp or "").strip()
    yield _Part(head_of(request))
    wrong = {
        "without the id": f"{at}.",
        "without the timestamp": f"{message_id}.",
        "without id and timestamp": "",
        "with the timestamp before the id": f"{at}.{message_id}.",
        "without the dots": f"{message_id}{at}",
        "with colons for dots": f"{message_id}:{at}:",
    }
    seconds = whole_seconds(at)
    if seconds is not None:
        wrong["with the timestamp in milliseconds"] = f"{message_id}.{seconds * 1000}."
    elif at.isascii() and at.isdigit():
        wrong["with the timestamp in seconds"] = f"{message_id}.{int(at) // 1000}."
    for how, head in wrong.items():
        message = (
            f"what was signed is {how}: expected {{id}}.{{timestamp}}.{{body}}, as they are sent"
        )
        mistake = Finding(code="signed_content", place=Place.SIGNATURE, message=message)
        yield _Part(head.encode(), (mistake,))


def _of_hash(name: str) -> Iterator[Finding]:
    if name != HASHES[32]:
        message = f"the signature fits as HMAC-{name.upper()}: expected HMAC-SHA256"
        yield Finding(code=f"hash_{name}", place=Place.SIGNATURE, message=message)
