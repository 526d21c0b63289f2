"""A coarse syntax tree of CEL expressions, for cost estimates and to find the nodes they read.

Pure. CEL always terminates, but `a.map(x, a.map(y, a.map(z, …)))` over a thousand values takes a
week, and evaluation cannot be interrupted, so its cost is estimated first. The tree does not
distinguish operators and accepts more than CEL: the CEL compiler decides what is valid.
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
"""Nesting depth of brackets. The CEL compiler recurses and would overflow its stack."""

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
    """The expression is too long, too deep, or incomplete."""


@dataclass(frozen=True, slots=True)
class Literal:
    """A literal value."""


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable, or a member of it."""

    root: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Regex:
    """A regular expression, which is compiled for every match."""

    literal: str | None
    """The CEL literal; None if the pattern is computed."""


@dataclass(frozen=True, slots=True)
class Member:
    """A member `steps` levels below another node, such as `(…).x` or `(…)[0]`."""

    operand: AstNode
    steps: int


@dataclass(frozen=True, slots=True)
class Group:
    """Nodes that form one value: operands, arguments, or the members of a literal."""

    nodes: tuple[AstNode, ...]
    nested: bool
    """Whether the nodes are members of the value, as in `[a, b]`."""


@dataclass(frozen=True, slots=True)
class Comprehension:
    """`whole.map(variable, body)`, and likewise for the other macros."""

    operand: AstNode
    variable: str
    body: AstNode
    name: str
    span: tuple[int, int, int]
    """Offsets in the source: its start, the end of `operand`, and its end."""


AstNode = Literal | Variable | Regex | Member | Group | Comprehension


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpressionAst:
    """The syntax tree of an expression."""

    root: AstNode
    reads: tuple[Path, ...]
    """The free variables and the members read; loop variables are not free."""
    loops: bool


def parse_ast(expression: str) -> ExpressionAst:
    """Parse `expression`.

    Raises:
        OutlineError: it is too long, too deep, or incomplete.
    """
    if len(expression) > _MAX_CHARACTERS:
        detail = f"{len(expression)} characters, at most {_MAX_CHARACTERS} are allowed"
        raise ExpressionSyntaxError(f"the expression is too long: {detail}")
    parser = _ExpressionParser(_tokenize(expression))
    root = parser.parse()
    reads = tuple(dict.fromkeys(_free_variables(root, frozenset())))
    return ExpressionAst(root=root, reads=reads, loops=parser.loops)


def list_comprehensions(node: AstNode) -> Iterator[Comprehension]:
    """Yield the outermost `map` and `filter` calls, in the order of the source."""
    match node:
        case Comprehension():
            if node.name in LIST_MACROS:
                yield node
            else:
                yield from list_comprehensions(node.operand)
        case Member():
            yield from list_comprehensions(node.operand)
        case Group():
            for one in node.nodes:
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
        detail = f"{len(found)} tokens, at most {_MAX_TOKENS} are allowed"
        raise ExpressionSyntaxError(f"the expression is too long: {detail}")
    return found


class _ExpressionParser:
    def __init__(self, tokens: Sequence[_Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self.loops = False

    def parse(self) -> AstNode:
        nodes: list[AstNode] = []
        while self._at < len(self._tokens):
            self._operand_or_operator(nodes)
        return _grouped(nodes)

    def _peek(self, ahead: int = 0) -> tuple[str, str]:
        at = self._at + ahead
        return self._tokens[at][:2] if at < len(self._tokens) else ("end", "")

    def _operand_or_operator(self, nodes: list[AstNode]) -> None:
        kind, text = self._peek()
        operator = kind == "sign" and text not in {*_OPENING, "."}
        if operator or (kind, text) == ("name", "in"):
            self._at += 1
        else:
            nodes.append(self._operand())

    def _operand(self) -> AstNode:
        start = self._tokens[self._at].start
        kind, text = self._peek()
        if (kind, text) == ("sign", "."):  # `.name`: the name, from the outermost scope
            self._at += 1
            kind, text = self._peek()
        self._at += 1
        node: AstNode
        if kind == "name" and text not in _LITERALS:
            node = self._named(text)
        elif kind == "sign" and text in _OPENING:
            inner = tuple(_grouped(argument) for argument in self._arguments(_OPENING[text]))
            node = _grouped(list(inner)) if text == "(" else Group(inner, nested=True)
        else:
            node = Literal()
        return self._postfix(node, start)

    def _named(self, name: str) -> AstNode:
        if self._peek() == ("sign", "("):
            self._at += 1
            return _grouped([*map(_grouped, self._arguments(")")), *self._pattern(name)])
        return Variable(name.strip("`"), ())

    def _postfix(self, node: AstNode, start: int) -> AstNode:
        while True:
            ended = self._tokens[min(self._at, len(self._tokens)) - 1].end
            if self._peek() == ("sign", "["):
                node = self._index(node)
            elif self._peek() == ("sign", "."):
                self._at += 1
                if self._peek() == ("sign", "?"):
                    self._at += 1
                _, name = self._peek()
                self._at += 1
                if self._peek() == ("sign", "("):
                    self._at += 1
                    node = self._method(node, name, start, ended)
                else:
                    node = _member(node, name.strip("`"))
            else:
                return node

    def _index(self, node: AstNode) -> AstNode:
        kind, text = self._peek(1)
        self._at += 1
        arguments = self._arguments("]")
        plain = text[1:-1] if kind == "text" and text[0] in "\"'" and "\\" not in text else None
        if plain is not None and len(arguments) == 1 and arguments[0] == [Literal()]:
            return _member(node, plain)
        return _grouped([Member(node, 1), *(_grouped(argument) for argument in arguments)])

    def _method(self, node: AstNode, name: str, start: int, ended: int) -> AstNode:
        arguments = self._arguments(")")
        if name not in _MACROS or not arguments:
            return _grouped([node, *map(_grouped, arguments), *self._pattern(name)])
        variable, *body = arguments
        if len(variable) != 1 or not isinstance(variable[0], Variable) or variable[0].names:
            raise ExpressionSyntaxError(
                f"{name}(…): expected a variable name as the first argument"
            )
        self.loops = True
        inner = _grouped([_grouped(argument) for argument in body])
        span = (start, ended, self._tokens[self._at - 1].end)
        return Comprehension(node, variable[0].root, inner, name, span)

    def _pattern(self, function: str) -> list[AstNode]:
        """Return the pattern compiled by the call just parsed: its last argument."""
        before, last = self._tokens[self._at - 3], self._tokens[self._at - 2]
        alone = last.kind == "text" and before.text in {"(", ","}
        return [Regex(last.text if alone else None)] if function == "matches" else []

    def _arguments(self, closing: str) -> list[list[AstNode]]:
        """Parse up to the closing bracket; return the nodes of each argument."""
        found: list[list[AstNode]] = [[]]
        while self._peek() != ("sign", closing):
            kind, text = self._peek()
            if kind == "end":
                raise ExpressionSyntaxError(f"the expression ends before a closing '{closing}'")
            if (kind, text) == ("sign", ","):
                self._at += 1
                found.append([])
            else:
                self._operand_or_operator(found[-1])
        self._at += 1
        return [argument for argument in found if argument]


def _grouped(nodes: list[AstNode]) -> AstNode:
    return nodes[0] if len(nodes) == 1 else Group(tuple(nodes), nested=False)


def _member(node: AstNode, name: str) -> AstNode:
    match node:
        case Variable():
            return Variable(node.root, (*node.names, name))
        case Member():
            return Member(node.operand, node.steps + 1)
        case _:
            return Member(node, 1)


def _free_variables(node: AstNode, bound: frozenset[str]) -> Iterator[Path]:
    match node:
        case Variable():
            if node.root not in bound:
                yield Path(node=node.root, names=node.names)
        case Member():
            yield from _free_variables(node.operand, bound)
        case Group():
            for one in node.nodes:
                yield from _free_variables(one, bound)
        case Comprehension():
            yield from _free_variables(node.operand, bound)
            yield from _free_variables(node.body, bound | {node.variable})
        case Literal() | Regex():
            return
