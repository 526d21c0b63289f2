"""The outline of a CEL expression: what it reads, and how much work its loops could be. Pure.

CEL always ends, but `a.map(x, a.map(y, a.map(z, …)))` over a thousand values ends next week, and
its evaluation cannot be interrupted. So work is estimated before it is done. The outline is coarser
than CEL's grammar and knows no operators; whether an expression *is* CEL, its compiler decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from gateway.flows.cel.paths import Path

_MAX_CHARACTERS = 4_000
_MAX_TOKENS = 800
_MAX_DEPTH = 24
"""Brackets within brackets. The compiler recurses, and its stack ends before ours."""

_MACROS = frozenset({"all", "exists", "exists_one", "existsOne", "filter", "map"})
LIST_MACROS = frozenset({"filter", "map"})
_OPENING = {"(": ")", "[": "]", "{": "}"}
_LITERALS = frozenset({"true", "false", "null"})
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


class ExpressionSyntaxError(ValueError):
    """An expression that is too long or too deep, or is no expression at all."""


@dataclass(frozen=True, slots=True)
class Literal:
    """A value that is written down."""


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable, or something inside it."""

    root: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Regex:
    """A regular expression that is made ready for one text."""

    literal: str | None
    """As it is written; None where it is a value."""


@dataclass(frozen=True, slots=True)
class Member:
    """What lies `steps` levels below another part, such as `(…).x` or `(…)[0]`."""

    whole: AstNode
    steps: int


@dataclass(frozen=True, slots=True)
class Group:
    """Parts that make one value between them: operands, arguments, or the members of a literal."""

    parts: tuple[AstNode, ...]
    nested: bool
    """Whether the parts lie inside the value, as in `[a, b]`."""


@dataclass(frozen=True, slots=True)
class Comprehension:
    """`whole.map(variable, body)` and its like."""

    whole: AstNode
    variable: str
    body: AstNode
    name: str
    span: tuple[int, int, int]
    """Where it starts in the text, where `whole` ends, and where it ends itself."""


AstNode = Literal | Variable | Regex | Member | Group | Comprehension


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpressionAst:
    """What an expression is made of."""

    whole: AstNode
    reads: tuple[Path, ...]
    """Outside names and what is read of them; variables of loops are no outside names."""
    loops: bool


def parse_ast(expression: str) -> ExpressionAst:
    """Return the outline of `expression`.

    Raises:
        OutlineError: it is too long, too deep, or ends in the middle.
    """
    if len(expression) > _MAX_CHARACTERS:
        detail = f"{len(expression)} characters, at most {_MAX_CHARACTERS} are allowed"
        raise ExpressionSyntaxError(f"the expression is too long: {detail}")
    reader = _Parser(_tokenize(expression))
    whole = reader.whole()
    reads = tuple(dict.fromkeys(_free_variables(whole, frozenset())))
    return ExpressionAst(whole=whole, reads=reads, loops=reader.loops)


def list_comprehensions(part: AstNode) -> Iterator[Comprehension]:
    """Yield the loops that make lists and lie in no other loop, in the order of the text."""
    match part:
        case Comprehension():
            if part.name in LIST_MACROS:
                yield part
            else:
                yield from list_comprehensions(part.whole)
        case Member():
            yield from list_comprehensions(part.whole)
        case Group():
            for one in part.parts:
                yield from list_comprehensions(one)
        case Literal() | Variable() | Regex():
            return


class _Token(NamedTuple):
    kind: str
    text: str
    start: int
    end: int


def _tokenize(expression: str) -> list[_Token]:
    found: list[_Token] = []
    depth = 0
    for match in _TOKEN.finditer(expression):
        kind, text = match.lastgroup or "sign", match.group()
        if kind == "blank":
            continue
        depth += (text in _OPENING) - (text in _OPENING.values()) if kind == "sign" else 0
        if depth > _MAX_DEPTH:
            raise ExpressionSyntaxError(f"brackets are nested deeper than {_MAX_DEPTH} levels")
        found.append(_Token(kind, text, *match.span()))
    if len(found) > _MAX_TOKENS:
        detail = f"{len(found)} words and signs, at most {_MAX_TOKENS} are allowed"
        raise ExpressionSyntaxError(f"the expression is too long: {detail}")
    return found


class _Parser:
    def __init__(self, tokens: Sequence[_Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self.loops = False

    def whole(self) -> AstNode:
        parts: list[AstNode] = []
        while self._at < len(self._tokens):
            self._part_or_sign(parts)
        return _grouped(parts)

    def _peek(self, ahead: int = 0) -> tuple[str, str]:
        at = self._at + ahead
        return self._tokens[at][:2] if at < len(self._tokens) else ("end", "")

    def _part_or_sign(self, parts: list[AstNode]) -> None:
        kind, text = self._peek()
        operator = kind == "sign" and text not in {*_OPENING, "."}
        if operator or (kind, text) == ("name", "in"):
            self._at += 1
        else:
            parts.append(self._operand())

    def _operand(self) -> AstNode:
        start = self._tokens[self._at].start
        kind, text = self._peek()
        if (kind, text) == ("sign", "."):  # `.name`: the name, from the outermost scope
            self._at += 1
            kind, text = self._peek()
        self._at += 1
        part: AstNode
        if kind == "name" and text not in _LITERALS:
            part = self._named(text)
        elif kind == "sign" and text in _OPENING:
            inner = tuple(_grouped(argument) for argument in self._arguments(_OPENING[text]))
            part = _grouped(list(inner)) if text == "(" else Group(inner, nested=True)
        else:
            part = Literal()
        return self._suffixes(part, start)

    def _named(self, name: str) -> AstNode:
        if self._peek() == ("sign", "("):
            self._at += 1
            return _grouped([*map(_grouped, self._arguments(")")), *self._pattern(name)])
        return Variable(name.strip("`"), ())

    def _suffixes(self, part: AstNode, start: int) -> AstNode:
        while True:
            ended = self._tokens[min(self._at, len(self._tokens)) - 1].end
            if self._peek() == ("sign", "["):
                part = self._index(part)
            elif self._peek() == ("sign", "."):
                self._at += 1
                if self._peek() == ("sign", "?"):
                    self._at += 1
                _, name = self._peek()
                self._at += 1
                if self._peek() == ("sign", "("):
                    self._at += 1
                    part = self._method(part, name, start, ended)
                else:
                    part = _member(part, name.strip("`"))
            else:
                return part

    def _index(self, part: AstNode) -> AstNode:
        kind, text = self._peek(1)
        self._at += 1
        arguments = self._arguments("]")
        plain = text[1:-1] if kind == "text" and text[0] in "\"'" and "\\" not in text else None
        if plain is not None and len(arguments) == 1 and arguments[0] == [Literal()]:
            return _member(part, plain)
        return _grouped([Member(part, 1), *(_grouped(argument) for argument in arguments)])

    def _method(self, part: AstNode, name: str, start: int, ended: int) -> AstNode:
        arguments = self._arguments(")")
        if name not in _MACROS or not arguments:
            return _grouped([part, *map(_grouped, arguments), *self._pattern(name)])
        variable, *body = arguments
        if len(variable) != 1 or not isinstance(variable[0], Variable) or variable[0].names:
            raise ExpressionSyntaxError(f"expected a name first in {name}(…)")
        self.loops = True
        inner = _grouped([_grouped(argument) for argument in body])
        span = (start, ended, self._tokens[self._at - 1].end)
        return Comprehension(part, variable[0].root, inner, name, span)

    def _pattern(self, function: str) -> list[AstNode]:
        """Return what a call that has just been read makes ready: its last argument."""
        before, last = self._tokens[self._at - 3], self._tokens[self._at - 2]
        alone = last.kind == "text" and before.text in {"(", ","}
        return [Regex(last.text if alone else None)] if function == "matches" else []

    def _arguments(self, closing: str) -> list[list[AstNode]]:
        """Read up to the bracket that closes; return the parts of each argument."""
        found: list[list[AstNode]] = [[]]
        while self._peek() != ("sign", closing):
            kind, text = self._peek()
            if kind == "end":
                raise ExpressionSyntaxError(f"the expression ends where a '{closing}' is missing")
            if (kind, text) == ("sign", ","):
                self._at += 1
                found.append([])
            else:
                self._part_or_sign(found[-1])
        self._at += 1
        return [argument for argument in found if argument]


def _grouped(parts: list[AstNode]) -> AstNode:
    return parts[0] if len(parts) == 1 else Group(tuple(parts), nested=False)


def _member(part: AstNode, name: str) -> AstNode:
    match part:
        case Variable():
            return Variable(part.root, (*part.names, name))
        case Member():
            return Member(part.whole, part.steps + 1)
        case _:
            return Member(part, 1)


def _free_variables(part: AstNode, bound: frozenset[str]) -> Iterator[Path]:
    match part:
        case Variable():
            if part.root not in bound:
                yield Path(node=part.root, names=part.names)
        case Member():
            yield from _free_variables(part.whole, bound)
        case Group():
            for one in part.parts:
                yield from _free_variables(one, bound)
        case Comprehension():
            yield from _free_variables(part.whole, bound)
            yield from _free_variables(part.body, bound | {part.variable})
        case Literal() | Regex():
            return
