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

SHORTEST = 12
LONGEST = 256
_JUDGED = 72
"""Characters that the judge looks at: what it takes grows with the square of them."""
_LEAST_SCORE = 3
"""Of zxcvbn's 0 to 4: a hundred million guesses."""


def normal(password: str) -> str:
    """Return the password in the one form that all keyboards' ways to write it share (NFKC)."""
    return unicodedata.normalize("NFKC", password)


def check_password(password: str, email: str) -> None:
    """Return where the user may have this password, which is in its normal form.

    Takes milliseconds. The error never repeats the password.

    Raises:
        GatewayError: VALIDATION_FAILED: too short, too long, the user's own address, or easy to
            guess.
    """
    if not SHORTEST <= len(password) <= LONGEST:
        got = f"{len(password)} characters"
        raise _refusal(f"expected {SHORTEST} to {LONGEST} characters, got {got}")
    if password.lower().strip() == email:
        raise _refusal("expected something else than the e-mail address")
    # imported here: its word lists take longer than most commands
    judged = import_module("zxcvbn").zxcvbn(
        password[:_JUDGED],
        user_inputs=["slipstream", email, *re.split(r"\W+", email)],
        max_length=_JUDGED,
    )
    if judged["score"] < _LEAST_SCORE:
        reason = judged["feedback"]["warning"].rstrip(".")
        raise _refusal(
            "expected one that is hard to guess, got one that is not"
            f"{f' ({reason})' if reason else ''}: several unusual words make a good one"
        )


def _refusal(reason: str) -> GatewayError:
    return GatewayError(ErrorCode.VALIDATION_FAILED, f"password: {reason}")
