"""JSON values as literals of programming languages and shells. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from gateway.examples.choices import Language

_MAX_SAFE_INTEGER = 2**53 - 1
_ASTRAL = 0x10000
_NAMES: Mapping[object, str] = {None: "None", True: "True", False: "False"}


# Any, throughout: JSON
def json_literal(value: Any) -> str:
    """Return JSON on one line, in which invisible characters are escaped."""
    return _nested(value, str_of=_json_text, names=None, key_of=_json_text)


def shell_json(value: Any) -> str:
    """Return JSON to stand between single quotes of a shell: without any."""
    return json_literal(value).replace("'", "\\u0027")


def python_literal(value: Any) -> str:
    """Return an expression of Python."""
    return _nested(value, str_of=_python_text, names=_NAMES, key_of=_python_text)


def javascript_literal(value: Any) -> str:
    """Return an expression of JavaScript; integers beyond 2**53 - 1 are rounded there."""
    return _nested(value, str_of=_json_text, names=None, key_of=_javascript_key)


def go_raw_json(value: Any) -> str:
    """Return JSON to stand in a raw string of Go: without backquotes."""
    return json_literal(value).replace("`", "\\u0060")


LITERALS: Mapping[Language, Callable[[Any], str]] = {
    Language.CURL: shell_json,
    Language.PYTHON: python_literal,
    Language.JAVASCRIPT: javascript_literal,
    Language.TYPESCRIPT: javascript_literal,
    Language.GO: go_raw_json,
    Language.HTTPIE: shell_json,
    Language.GRPC_PYTHON: python_literal,
}
"""How a body is written in each language."""


def is_rounded_by_javascript(value: Any) -> bool:
    """Whether a value has an integer that JavaScript's numbers cannot hold."""
    if isinstance(value, dict):
        return any(map(is_rounded_by_javascript, value.values()))
    if isinstance(value, list):
        return any(map(is_rounded_by_javascript, value))
    return type(value) is int and abs(value) > _MAX_SAFE_INTEGER


def visible(text: str) -> str:
    """Return text for a comment: on one line, without invisible characters.

    Python takes `coding:` in a first comment for the encoding of the file.
    """
    shown = "".join(letter if letter.isprintable() else " " for letter in text)
    return re.sub(r"coding(?=[:=])", "coding ", shown)


def _nested(
    value: Any,
    *,
    str_of: Callable[[str], str],
    names: Mapping[object, str] | None,
    key_of: Callable[[str], str],
) -> str:
    def literal(value: Any) -> str:
        if isinstance(value, str):
            return str_of(value)
        if isinstance(value, dict):
            members = (f"{key_of(name)}: {literal(item)}" for name, item in value.items())
            return f"{{{', '.join(members)}}}"
        if isinstance(value, list):
            return f"[{', '.join(map(literal, value))}]"
        if names is not None and (value is None or isinstance(value, bool)):
            return names[value]
        # as JavaScript writes it: 1e-9, not 1e-09
        return re.sub(r"e([+-])0", r"e\1", json.dumps(value))

    return literal(value)


def _json_text(text: str) -> str:
    return _escaped(text, lambda letter: json.dumps(letter)[1:-1])


def _python_text(text: str) -> str:
    # Python reads a pair of surrogates as two characters, so that they have an escape of their own
    return _escaped(
        text,
        lambda letter: (
            f"\\U{ord(letter):08x}" if ord(letter) >= _ASTRAL else json.dumps(letter)[1:-1]
        ),
    )


def _javascript_key(text: str) -> str:
    # a plain __proto__ would set the prototype of the object
    return '["__proto__"]' if text == "__proto__" else _json_text(text)


def _escaped(text: str, escape: Callable[[str], str]) -> str:
    written = json.dumps(text, ensure_ascii=False)
    return re.sub(r"[^ -~]", lambda found: _unless_visible(found[0], escape), written)


def _unless_visible(letter: str, escape: Callable[[str], str]) -> str:
    return letter if letter.isprintable() else escape(letter)
