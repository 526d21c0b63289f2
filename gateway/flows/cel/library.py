"""The CEL library, and the functions that expressions may call.

Only the compiled module is imported: the package `cel` also imports its command line, which costs
0.3 s and 30 MB in every gateway and worker.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any

from gateway.flows.cel.function_docs import STANDARD

__all__ = [
    "ADDED_FUNCTIONS",
    "CEL_ERRORS",
    "STANDARD_FUNCTIONS",
    "Context",
    "OptionalValue",
    "Program",
    "compile_cel",
]

CEL_ERRORS = (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError)
"""What the library raises."""


def _load() -> ModuleType:
    """Import the module `cel.cel` without its package."""
    package = find_spec("cel")
    folders = package.submodule_search_locations if package else None
    spec = PathFinder.find_spec("cel.cel", list(folders or ()))
    if spec is None or spec.loader is None:
        raise ImportError("the package common-expression-language is not installed")
    # The library logs exceptions of functions, including users' values; they are returned anyway.
    logging.getLogger("cel").setLevel(logging.CRITICAL)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if TYPE_CHECKING:
    from cel import Context, OptionalValue, Program
    from cel import compile as compile_cel
else:
    _module = _load()
    Context, OptionalValue, Program = _module.Context, _module.OptionalValue, _module.Program
    compile_cel = _module.compile

STANDARD_FUNCTIONS = frozenset(doc.name for doc in STANDARD)
"""The functions of CEL. The library does not list them."""


def _argmax(values: list[Any]) -> int:
    """Return the index of the largest value, or the first of several."""
    return max(range(len(values)), key=values.__getitem__)


def _round(value: float, digits: int = 0) -> float:
    return float(round(value, digits))


def _join(values: list[Any], between: str = "") -> str:
    return between.join(values)


# Any: CEL values.
ADDED_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "abs": abs,
    "argmax": _argmax,
    "ceil": math.ceil,
    "floor": math.floor,
    "join": _join,
    "lower": str.lower,
    "max": max,
    "min": min,
    "round": _round,
    "split": str.split,
    "sum": sum,
    "trim": str.strip,
    "upper": str.upper,
}
"""Functions beyond CEL's own; an exception in one fails the expression."""
