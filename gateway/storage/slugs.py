"""Handles and slugs: the parts of readable addresses, derived from names that people give."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Awaitable, Callable

from gateway.ids import is_id

SLUG_PATTERN = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
"""Of a handle or a slug: lower-case letters, digits, and hyphens between them."""
_SLUG = re.compile(SLUG_PATTERN)
_OTHERS = re.compile(r"[^a-z0-9]+")


def check_form(text: str, *, max_length: int) -> str:
    """Return a handle or slug; raise ValueError with what was expected for other text."""
    if len(text) > max_length or not _SLUG.fullmatch(text):
        message = (
            f"expected 1 to {max_length} lower-case letters (a to z), digits, and hyphens between "
            "them"
        )
        raise ValueError(message)
    return text


def slug_of(text: str, *, kind: str, max_length: int) -> str:
    """Return what stands for `text` in an address; `kind` where it has no letter or digit.

    Accents are removed. What would look like an id gets `kind` before it.
    """
    plain = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    slug = _OTHERS.sub("-", plain).strip("-")[:max_length].rstrip("-")
    return f"{kind}-{slug}"[:max_length].rstrip("-") if is_id(slug) else slug or kind


async def free_slug(
    slug: str, *, max_length: int, is_taken: Callable[[str], Awaitable[bool]]
) -> str:
    """Return `slug`, or where it is taken a free one: with `-2`, or `-3`, and so on behind it.

    The number is found by doubling and halving, so that the thousandth costs ten queries.
    """
    if not await is_taken(slug):
        return slug
    taken, free = 1, 2
    while await is_taken(_numbered(slug, free, max_length)):
        taken, free = free, free * 2
    while free - taken > 1:
        middle = (taken + free) // 2
        if await is_taken(_numbered(slug, middle, max_length)):
            taken = middle
        else:
            free = middle
    return _numbered(slug, free, max_length)


def _numbered(slug: str, number: int, max_length: int) -> str:
    end = f"-{number}"
    return slug[: max_length - len(end)].rstrip("-") + end
