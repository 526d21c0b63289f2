"""The tokens of an expression: how long and deep it is, and where its loops are. Pure.

The CEL compiler decides what is valid.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

MAX_CHARACTERS = 4_000
_MAX_TOKENS = 800
_MAX_DEPTH = 24
"""Nesting depth of brackets: the CEL compiler recurses."""

_MACROS = frozenset({"all", "exists", "exists_one", "existsOne", "filter", "map"})
_LIST_MACROS = frozenset({"filter", "map"})
_OPENING = {"(": ")", "[": "]", "{": "}"}
_CLOSING = frozenset(_OPENING.values())
_NOT_OPERANDS = frozenset({"true", "false", "null", "in"})
_TOKEN = re.compile(
    r"""
    (?P<blank>\s+|//[^\n]*)
  | (?P<text>[bB]?[rR][bB]?(?:\"{3}.*?\"{3}|'{3}.*?'{3}|"[^"]*"|'[^']*')
           | [bB]?(?:\"{3}(?:\\.|.)*?\"{3}|'{3}(?:\\.|.)*?'{3}|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'))
  | (?P<number>0[xX][0-9a-fA-F]+[uU]?|(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d+)?[uU]?)
  | (?P<name>[A-Za-z_][A-Za-z0-9_]*|`[^`]*`)
  | (?P<sign>.)
    """,
    re.VERBOSE | re.DOTALL,
)


class ExpressionTooLongError(ValueError):
    """The expression is too long or too deep."""


class Token(NamedTuple):
    """A token and its offsets in the source."""

    kind: str
    """`text`, `number`, `name` or `sign`."""
    text: str
    start: int
    end: int


class Loop(NamedTuple):
    """`operand.map(…)` or `operand.filter(…)`, as offsets in the source."""

    start: int
    dot: int
    """The end of the operand."""
    end: int


def tokenize(expression: str) -> list[Token]:
    """Return the tokens of `expression`.

    Raises:
        ExpressionTooLongError: it is too long or too deep.
    """
    if len(expression) > MAX_CHARACTERS:
        detail = f"{len(expression)} characters, at most {MAX_CHARACTERS} are allowed"
        raise ExpressionTooLongError(f"the expression is too long: {detail}")
    found: list[Token] = []
    depth = 0
    for match in _TOKEN.finditer(expression):
        kind, text = match.lastgroup or "sign", match.group()
        if kind == "blank":
            continue
        if kind == "sign":
            depth += (text in _OPENING) - (text in _CLOSING)
        if depth > _MAX_DEPTH:
            message = f"brackets are nested deeper than {_MAX_DEPTH} levels"
            raise ExpressionTooLongError(message)
        found.append(Token(kind, text, *match.span()))
    if len(found) > _MAX_TOKENS:
        detail = f"{len(found)} tokens, at most {_MAX_TOKENS} are allowed"
        raise ExpressionTooLongError(f"the expression is too long: {detail}")
    return found


def list_loops(tokens: Sequence[Token]) -> Iterator[Loop]:
    """Yield the outermost `map` and `filter` calls of a valid expression, in its order.

    Calls within the arguments of any loop are not outermost: they may read its variable.
    """
    brackets = _Brackets(tokens)
    at = 0
    while at < len(tokens):
        if brackets.is_loop(at):
            at = brackets.end_of_call(at) + 1
            continue
        last = brackets.last_list_call(at) if brackets.is_operand(at) else None
        if last is None:
            at += 1
            continue
        end = brackets.end_of_call(last)
        yield Loop(tokens[at].start, tokens[last - 2].end, tokens[end].end)
        at = end + 1


def loop_variables(tokens: Sequence[Token]) -> frozenset[str]:
    """Return the names that the loops of a valid expression bind."""
    brackets = _Brackets(tokens)
    calls = (at for at in range(len(tokens)) if brackets.is_loop(at))
    return frozenset(tokens[at + 2].text for at in calls)


class _Brackets:
    """Answers questions about the tokens of a valid expression."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens = tokens
        self._closing: dict[int, int] = {}
        open_at: list[int] = []
        for at, token in enumerate(tokens):
            if token.kind == "sign" and token.text in _OPENING:
                open_at.append(at)
            elif token.kind == "sign" and token.text in _CLOSING and open_at:
                self._closing[open_at.pop()] = at

    def is_operand(self, at: int) -> bool:
        """Whether an operand begins here, as opposed to a member of one."""
        token = self._tokens[at]
        begins = token.kind in {"name", "text"} or (token.kind == "sign" and at in self._closing)
        return begins and token.text not in _NOT_OPERANDS and not self._is_postfix(at)

    def is_loop(self, at: int) -> bool:
        """Whether this is the name of a macro that is called."""
        return self._tokens[at].text in _MACROS and self._sign(at - 1, ".") and self._calls(at)

    def end_of_call(self, at: int) -> int:
        """Return the closing bracket of the call of the name at `at`."""
        return self._closing[at + 1]

    def last_list_call(self, at: int) -> int | None:
        """Return the name of the last `map` or `filter` that is called on the operand at `at`."""
        found = None
        if self._sign(at, *_OPENING):
            at = self._closing[at]
        elif self._calls(at):
            at = self.end_of_call(at)
        while True:
            if self._sign(at + 1, "[") and at + 1 in self._closing:
                at = self._closing[at + 1]
            elif self._sign(at + 1, "."):
                at += 3 if self._sign(at + 2, "?") else 2
                if self._calls(at):
                    found = at if self._tokens[at].text in _LIST_MACROS else found
                    at = self.end_of_call(at)
            else:
                return found

    def _is_postfix(self, at: int) -> bool:
        """Whether the token continues the operand before it: `.name`, `(…)` or `[…]`."""
        if at == 0:
            return False
        before = self._tokens[at - 1]
        if self._tokens[at].text in {"(", "["} and self._tokens[at].kind == "sign":
            ends = before.kind in {"name", "text"} or before.text in _CLOSING
            return ends and before.text != "in"
        return self._sign(at - 1, ".") or (self._sign(at - 1, "?") and self._sign(at - 2, "."))

    def _calls(self, at: int) -> bool:
        return self._sign(at + 1, "(") and at + 1 in self._closing

    def _sign(self, at: int, *signs: str) -> bool:
        if not 0 <= at < len(self._tokens):
            return False
        return self._tokens[at].kind == "sign" and self._tokens[at].text in signs
