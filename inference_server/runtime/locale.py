"""The locale that ONNX Runtime's StringNormalizer works in, and that slim images lack."""

from __future__ import annotations

import locale

STRING_NORMALIZER = "en_US.UTF-8"
"""What the operator takes where the model names no locale."""


def installed(name: str = STRING_NORMALIZER) -> bool:
    """Whether the system has the locale `name`. Not for use beside other threads.

    Without it models that normalise strings do not load: install the package `locales` (Debian)
    or the language pack, and generate en_US.UTF-8.
    """
    before = locale.setlocale(locale.LC_CTYPE)
    try:
        locale.setlocale(locale.LC_CTYPE, name)
    except locale.Error:
        return False
    finally:
        locale.setlocale(locale.LC_CTYPE, before)
    return True
