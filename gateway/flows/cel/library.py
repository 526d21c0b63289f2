"""The CEL library: its compiled module, without the command line that the package imports with it.

That takes 0.3 s and 30 MB in every gateway and every worker, for programs that flows never run.
"""

from __future__ import annotations

import logging
from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import TYPE_CHECKING

__all__ = ["CEL_ERRORS", "Context", "OptionalValue", "Program", "compile_cel"]

CEL_ERRORS = (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError)
"""What the library raises."""


def _load() -> ModuleType:
    """Import the module `cel.cel` alone."""
    package = find_spec("cel")
    folders = package.submodule_search_locations if package else None
    spec = PathFinder.find_spec("cel.cel", list(folders or ()))
    if spec is None or spec.loader is None:
        raise ImportError("the package common-expression-language is not installed")
    # It would log what functions raise, values of users included. They come back as errors anyway.
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
