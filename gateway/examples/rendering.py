"""Templates become code. Jinja is imported when the first example is written."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment

_SLOT = "\0"
"""Stands for the literal of the body while a template is rendered: no name or text contains it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedCode:
    """Code, and the offsets at which the body's literal stands in it."""

    code: str
    slots: tuple[int, ...]


def render(template: str, literal: str, facts: dict[str, object]) -> RenderedCode:
    """Render a template, with `literal` wherever it has `body`."""
    text = _environment().get_template(template).render({**facts, "body": _SLOT})
    first, *others = text.split(_SLOT)
    code, slots = first, []
    for part in others:
        slots.append(len(code))
        code += literal + part
    return RenderedCode(code=code, slots=tuple(slots))


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415 - see above

    # It writes programs: every value is a literal of their language already, and none is HTML.
    return Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=False,  # nosec B701 # see above
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
