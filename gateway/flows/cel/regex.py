"""Regular expressions of CEL and the cost of compiling them.

CEL's engine matches in linear time, whatever the pattern. But it compiles the pattern for every
match: 0.02 ms for a simple one, 100 ms for the largest allowed one.
"""

from __future__ import annotations

from functools import lru_cache
from time import perf_counter

from gateway.flows.cel.library import CEL_ERRORS, compile_cel

MAX_COMPILE_SECONDS = 0.1
"""Compilation time of the largest pattern that the engine accepts (measured)."""
_TRIES = 3
_MATCH = compile_cel("text.matches(pattern)")


def matches(pattern: str, text: str) -> bool:
    """Whether `pattern` is found in `text`; raises one of CEL_ERRORS if the pattern is invalid."""
    found: bool = _MATCH.execute({"pattern": pattern, "text": text})
    return found


@lru_cache(maxsize=1024)
def compile_seconds(literal: str | None) -> float:
    """Measure the compilation of a pattern given as a CEL literal; None: assume the maximum."""
    if literal is None:
        return MAX_COMPILE_SECONDS
    taken = []
    try:
        program = compile_cel(f"''.matches({literal})")
        for _ in range(_TRIES):
            started_at = perf_counter()
            program.execute({})
            taken.append(perf_counter() - started_at)
    except CEL_ERRORS:
        return 0.0  # the first match fails
    return min(taken)
