"""The context in which a node's configuration is compiled: readable nodes, and error reporting."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.flows.cel.local import ConstantExpression
from gateway.flows.cel.numeric import NumericExpression
from gateway.flows.cel.template import Template, split_template
from gateway.flows.cel.values import Expression, ExpressionError, ExpressionMap
from gateway.flows.validation import ProblemCode, ValidationErrors, pointer_token

Compile = Callable[[str], Expression | None]
"""Compiles an expression; returns None for one that is compiled in an evaluator."""

MAX_EXPRESSIONS = 5_000
"""Of a flow: the event loop compiles one, or sees that an evaluator has to, in about 5 µs."""
_MAX_NUMERIC = 16
"""Numeric expressions of a node that the event loop evaluates, which first compiles them."""


@dataclass(frozen=True, slots=True)
class FunctionName:
    """The entry point of a Python node."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Deferred:
    """What is still to be compiled in another process: an expression, or a JSON Schema (Any: JSON).

    Of a function, whether it can be imported.
    """

    field: str
    source: str | Mapping[str, Any] | FunctionName


class CompileContext:
    """One node's place in its flow."""

    def __init__(
        self,
        node_id: str,
        pointer: str,
        *,
        before: Sequence[str],
        earlier: Collection[str] = (),
        known: Collection[str] = (),
        errors: ValidationErrors,
        compile_expression: Compile,
    ) -> None:
        """Create the context of one node.

        Args:
            node_id: the node.
            pointer: JSON pointer to its configuration.
            before: its direct predecessors.
            earlier: all nodes that end before it starts.
            known: all nodes of the flow; empty: references are not checked.
            errors: where errors are reported.
            compile_expression: compiles expressions.
        """
        self.node_id = node_id
        self.before = before
        self.deferred: list[Deferred] = []
        self.sources: list[str] = []
        self.has_too_many = False
        self.is_remote = False
        """Whether the node's values can only be computed in an evaluator."""
        self._numeric_count = 0
        self._pointer = pointer
        self._earlier = earlier
        self._known = known
        self._errors = errors
        self._compile = compile_expression

    @property
    def is_local(self) -> bool:
        """Whether the node's values can be computed here, if those in calculations are numbers."""
        return not self.is_remote and self._numeric_count <= _MAX_NUMERIC

    @property
    def has_program(self) -> bool:
        """Whether an evaluator can be needed for the node's values."""
        return self.is_remote or self._numeric_count > 0

    def add_error(
        self, field: str, detail: str, code: ProblemCode = ProblemCode.INVALID_CONFIG
    ) -> None:
        """Report an error about the member `field` of the configuration."""
        self._errors.add(f"{self._pointer}/{field}" if field else self._pointer, detail, code)

    def expression(self, field: str, source: str) -> Expression:
        """Compile the expression at `field`; return `null` after reporting an error."""
        self.sources.append(source)
        try:
            found = self._compile(source)
        except ExpressionError as error:
            self.add_error(field, str(error), ProblemCode.INVALID_EXPRESSION)
            return _NULL
        if found is None:
            self.is_remote = True
            self.deferred.append(Deferred(field=field, source=source))
            return _NULL
        if isinstance(found, NumericExpression):
            self._numeric_count += 1
            self.deferred.append(Deferred(field=field, source=source))
            return found
        self.check_roots(field, source, found.roots)
        return found

    def fields(self, field: str, sources: Mapping[str, str]) -> ExpressionMap:
        """Compile a map of expressions."""
        if self._too_many(len(sources)):
            return ExpressionMap({})
        return ExpressionMap(
            {
                name: self.expression(f"{field}/{pointer_token(name)}", source)
                for name, source in sources.items()
            }
        )

    def template(self, field: str, text: str) -> Template:
        """Compile the template at `field`. Inserting values takes time by their length."""
        if self._too_many(text.count("{{")):
            return Template([""], [])
        parts = split_template(text)
        self.is_remote |= len(parts) > 1
        return Template(parts[::2], [self.expression(field, source) for source in parts[1::2]])

    def _too_many(self, more: int) -> bool:
        """Whether a flow with so many more expressions is refused, so that none is compiled."""
        self.has_too_many |= len(self.sources) + more > MAX_EXPRESSIONS
        return self.has_too_many

    def schema(self, field: str, schema: Mapping[str, Any]) -> None:
        """Have the JSON Schema at `field` checked (Any: JSON)."""
        self.deferred.append(Deferred(field=field, source=schema))

    def function(self, field: str, function: FunctionName) -> None:
        """Have the function at `field` imported, to see whether it can be called."""
        self.deferred.append(Deferred(field=field, source=function))

    def check_roots(self, field: str, source: str, roots: Collection[str]) -> None:
        """Report nodes that the expression at `field` reads and cannot."""
        for root in sorted(roots) if self._known else ():
            if root not in self._known:
                detail = f"'{source}': unknown node '{root}'"
                self.add_error(field, detail, ProblemCode.UNKNOWN_REFERENCE)
            elif root not in self._earlier:
                missing = f"add an edge from '{root}' to '{self.node_id}'"
                detail = f"'{source}': '{root}' does not run before this node: {missing}"
                self.add_error(field, detail, ProblemCode.UNKNOWN_REFERENCE)


_NULL = ConstantExpression("null", None)
