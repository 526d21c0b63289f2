"""Code as tokens of a highlighter, so that browsers need none. Pygments is imported when needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

Token = tuple[str, str]
"""The short name of a token class of Pygments, such as `kd` or `s2`, and the text."""


def highlight(code: str, lexer_name: str, boundaries: Sequence[int]) -> list[Token]:
    """Return `code` as tokens, together the same text; none extends over one of `boundaries`."""
    from pygments.lexers import get_lexer_by_name  # noqa: PLC0415 - few processes need it
    from pygments.token import STANDARD_TYPES  # noqa: PLC0415 - likewise

    lexer = get_lexer_by_name(lexer_name, stripnl=False, ensurenl=False)
    named = ((STANDARD_TYPES.get(kind, ""), text) for kind, text in lexer.get_tokens(code))
    return list(_merged(_split(named, sorted(boundaries)), set(boundaries)))


def _split(tokens: Iterator[Token], boundaries: Sequence[int]) -> Iterator[Token]:
    begin, waiting = 0, list(boundaries)
    for name, text in tokens:
        end, start = begin + len(text), begin
        while waiting and waiting[0] < end:
            cut = waiting.pop(0)
            if cut > start:
                yield name, text[start - begin : cut - begin]
                start = cut
        yield name, text[start - begin :]
        begin = end


def _merged(tokens: Iterator[Token], boundaries: set[int]) -> Iterator[Token]:
    """Join neighbours of the same class, except at boundaries."""
    before: Token | None = None
    place = 0
    for name, text in tokens:
        if before is not None and before[0] == name and place not in boundaries:
            before = (name, before[1] + text)
        else:
            if before is not None:
                yield before
            before = (name, text)
        place += len(text)
    if before is not None:
        yield before
