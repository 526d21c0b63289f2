"""Password rules: a minimum length and a strength estimate.

There are no rules about capitals and digits (NIST SP 800-63B): they make passwords hard to
remember, not hard to guess.
"""

from __future__ import annotations

import re
import unicodedata
from importlib import import_module

from gateway.errors import GatewayError
from protos.errors import ErrorCode

MIN_LENGTH = 12
MAX_LENGTH = 256
_SCORED_LENGTH = 72
"""Characters that zxcvbn scores; its run time grows with their square."""
_MIN_SCORE = 3
"""Of zxcvbn's 0 to 4: at least a hundred million guesses."""


def normalize(password: str) -> str:
    """Return the password in Unicode form NFKC, which is the same for all keyboards."""
    return unicodedata.normalize("NFKC", password)


def check_password(password: str, email: str) -> None:
    """Check a normalized password. Takes milliseconds; errors never contain the password.

    Raises:
        GatewayError: VALIDATION_FAILED: too short, too long, the user's e-mail address, or easy to
            guess.
    """
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        got = f"{len(password)} characters"
        raise _rejected(f"expected {MIN_LENGTH} to {MAX_LENGTH} characters, got {got}")
    if password.lower().strip() == email:
        raise _rejected("expected something other than the e-mail address")
    # imported here, because loading its word lists is slow
    score = import_module("zxcvbn").zxcvbn(
        password[:_SCORED_LENGTH],
        user_inputs=["slipstream", email, *re.split(r"\W+", email)],
        max_length=_SCORED_LENGTH,
    )
    if score["score"] < _MIN_SCORE:
        reason = score["feedback"]["warning"].rstrip(".")
        raise _rejected(
            "expected one that is hard to guess, got an easy one"
            f"{f' ({reason})' if reason else ''}: use several unusual words"
        )


def _rejected(reason: str) -> GatewayError:
    return GatewayError(ErrorCode.VALIDATION_FAILED, f"password: {reason}")
