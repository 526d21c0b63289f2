"""Why a signature fails: everything that is wrong with a signed request, by name. Pure.

A secret that is not decoded, a body that was parsed and written anew, a timestamp in
milliseconds: what people get wrong is tried until the signature fits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from gateway.webhooks.findings import Diagnosis, Finding, Place, SignedRequest
from gateway.webhooks.header_faults import body_faults, header_faults, whole_seconds
from gateway.webhooks.secret_faults import ReadSecret, read_secret
from gateway.webhooks.signature import sign
from gateway.webhooks.signature_faults import ReadSignatures, read_signatures
from gateway.webhooks.trials import Match, explain


def diagnose(
    request: SignedRequest, secret: str, *, at: float, previous: Sequence[str] = ()
) -> Diagnosis:
    """Return whether a request is signed with a secret, and all reasons why it is not.

    `at` is the time of judging in Unix seconds; `previous` are secrets that were in force before,
    which are enough for an explanation, never for a good end. Takes up to a second for a body of
    256 KiB with a signature that nothing explains.
    """
    read = read_secret(secret)
    findings = [*read.faults, *header_faults(request, at=at), *body_faults(request)]
    if (request.signature or "").strip():
        signatures = read_signatures(request.signature or "")
        old = [key for text in previous if (key := read_secret(text).key)]
        match = explain(request, signatures.items, read, old) if signatures.items else None
        findings += _verdict(request, signatures, match, read)
    return Diagnosis(findings=_without_repetition(findings), expected=_expected(request, read))


def _verdict(
    request: SignedRequest, signatures: ReadSignatures, match: Match | None, secret: ReadSecret
) -> Iterator[Finding]:
    # Beside one that fits, what else the header holds does no harm.
    yield from (
        each for each in signatures.remarks if match is None or not each.fault or _commas(each)
    )
    if match is not None:
        yield from match.mistakes
        number = match.signature.number
        if number > 1:
            message = (
                f"the signature that fits is number {number}: a receiver that looks "
                "at the first one only refuses it, as after each rotation of a secret"
            )
            yield _remark("signature_not_first", message)
        return
    yield from (fault for each in signatures.items for fault in each.faults)
    if signatures.items:
        yield _no_match(request, secret)
    elif not signatures.remarks or not any(each.fault for each in signatures.remarks):
        message = "no signature v1 is there: expected v1, and base64 of HMAC-SHA-256"
        yield Finding(code="signature_missing", place=Place.SIGNATURE, message=message)


def _commas(finding: Finding) -> bool:
    return finding.code == "signatures_with_commas"


def _no_match(request: SignedRequest, secret: ReadSecret) -> Finding:
    digest = hashlib.sha256(request.body).hexdigest()[:16]
    known = "the secret is another one" if secret.key else "the secret cannot be read"
    message = (
        f"no signature fits, nor would one with the mistakes that are known: most likely {known} "
        "(another deployment's, or that before a rotation), else the body was changed: it has "
        f"{len(request.body)} bytes, SHA-256 {digest}…"
    )
    return Finding(code="signature_mismatch", place=Place.SIGNATURE, message=message)


def _expected(request: SignedRequest, secret: ReadSecret) -> str | None:
    seconds = whole_seconds((request.timestamp or "").strip())
    message_id = (request.message_id or "").strip()
    if not message_id or seconds is None:
        return None
    try:
        return sign(secret.text, message_id, seconds, request.body)
    except ValueError:
        return None


def _remark(code: str, message: str) -> Finding:
    return Finding(code=code, place=Place.SIGNATURE, message=message, fault=False)


def _without_repetition(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    return tuple(dict.fromkeys(findings))
