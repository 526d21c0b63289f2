"""Which passwords are taken: long ones that are not among the first that anybody would try.

No rules about capitals and digits (NIST SP 800-63B): they make passwords hard to remember, and not
hard to guess.
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
"""Characters that the judge looks at: what it takes grows with the square of them."""
_MIN_SCORE = 3
"""Of zxcvbn's 0 to 4: a hundred million guesses."""


def normalize(password: str) -> str:
    """Return the password in the one form that all keyboards' ways to write it share (NFKC)."""
    return unicodedata.normalize("NFKC", password)


def check_password(password: str, email: str) -> None:
    """Return where the user may have this password, which is in its normal form.

    Takes milliseconds. The error never repeats the password.

    Raises:
        GatewayError: VALIDATION_FAILED: too short, too long, the user's own address, or easy to
            guess.
    """
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        got = f"{len(password)} characters"
        raise _rejected(f"expected {MIN_LENGTH} to {MAX_LENGTH} characters, got {got}")
    if password.lower().strip() == email:
        raise _rejected("expected something else than the e-mail address")
    # imported here: its word lists take longer than most commands
    judged = import_module("zxcvbn").zxcvbn(
        password[:_SCORED_LENGTH],
        user_inputs=["slipstream", email, *re.split(r"\W+", email)],
        max_length=_SCORED_LENGTH,
    )
    if judged["score"] < _MIN_SCORE:
        reason = judged["feedback"]["warning"].rstrip(".")
        raise _rejected(
            "expected one that is hard to guess, got one that is not"
            f"{f' ({reason})' if reason else ''}: several unusual words make a good one"
        )


def _rejected(reason: str) -> GatewayError:
    return GatewayError(ErrorCode.VALIDATION_FAILED, f"password: {reason}")
