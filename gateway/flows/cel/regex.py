"""What regular expressions cost before they look at a text.

CEL's engine takes time that grows with the text and no faster, whatever the pattern; but it makes
the pattern ready each time: 0.02 ms for a plain one, 100 ms for the largest that it takes.
"""

from __future__ import annotations

from functools import lru_cache
from time import perf_counter

from gateway.flows.cel.library import CEL_ERRORS, compile_cel

MAX_COMPILE_SECONDS = 0.1
"""Of any pattern that the engine takes (measured)."""
_TRIES = 3
_MATCH = compile_cel("text.matches(pattern)")


def matches(pattern: str, text: str) -> bool:
    """Whether `pattern` is found in `text`; raises one of CEL_ERRORS where it is no pattern."""
    found: bool = _MATCH.execute({"pattern": pattern, "text": text})
    return found


@lru_cache(maxsize=1024)
def compile_seconds(literal: str | None) -> float:
    """Return what the pattern that CEL writes as `literal` takes; of None, the most of any."""
    if literal is None:
        return MAX_COMPILE_SECONDS
    taken = []
    try:
        program = compile_cel(f"''.matches({literal})")
        for _ in range(_TRIES):
            began = perf_counter()
            program.execute({})
            taken.append(perf_counter() - began)
    except CEL_ERRORS:
        return 0.0  # at the first text it fails
    return min(taken)
