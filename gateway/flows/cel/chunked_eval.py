"""Evaluates `map` and `filter` over long lists in chunks. Pure.

The library copies the resulting list for every value it appends, so a list of 100,000 values takes
minutes. In chunks, a value takes about a microsecond, independently of the length.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from gateway.flows.cel.conversion import CelValues, new_context
from gateway.flows.cel.library import CEL_ERRORS, compile_cel
from gateway.flows.cel.reads import mentioned, select
from gateway.flows.cel.tokens import Token, list_loops
from gateway.flows.cel.values import ExpressionError

CHUNK_SIZE = 16
"""Values per chunk: larger chunks are copied more, smaller ones need more calls."""

Operand = Callable[[CelValues], Any]
"""Returns the list that a loop is over, as CEL returns it."""


class ChunkedExpression:
    """An expression whose outermost `map` and `filter` calls are evaluated separately."""

    def __init__(self, rest: str, loops: dict[str, _ChunkedLoop]) -> None:
        """Create one from the remaining source, in which each loop is replaced by a variable."""
        self._entire = loops.get(rest.strip())
        self._rest = compile_cel(rest)
        self._loops = loops

    @classmethod
    def of(
        cls, source: str, tokens: Sequence[Token], compile_operand: Callable[[str], Operand]
    ) -> ChunkedExpression | None:
        """Split an expression; return None if it has no such loop."""
        name = "list"
        while name in source:
            name += "_"
        rest, at = "", 0
        loops: dict[str, _ChunkedLoop] = {}
        for start, dot, end in list_loops(tokens):
            variable = f"{name}{len(loops)}_"
            operand = compile_operand(source[start:dot])
            loops[variable] = _ChunkedLoop(operand, variable, f"{variable}{source[dot:end]}")
            rest += f"{source[at:start]}{variable}"
            at = end
        return cls(rest + source[at:], loops) if loops else None

    def evaluate(self, values: CelValues) -> Any:
        """Return the value as CEL returns it; raise one of CEL_ERRORS, or ExpressionError."""
        if self._entire is not None:
            return self._entire.evaluate(values)
        failures: list[Exception] = []
        made: dict[str, list[Any]] = {}

        def resolve(name: str) -> list[Any] | None:
            # Called when the library needs the variable: unused lists are not computed.
            if name in self._loops and name not in made and not failures:
                try:
                    made[name] = self._loops[name].evaluate(values)
                except (ExpressionError, *CEL_ERRORS) as error:
                    failures.append(error)
            return made.get(name)

        context = new_context(values)
        context.set_variable_resolver(resolve)
        try:
            return self._rest.execute(context)
        finally:
            if failures:
                # Not kept: it refers to this frame, this to the context, and that to `failures`,
                # in a way that the garbage collector does not see.
                raise failures.pop()


class _ChunkedLoop:
    """`operand.map(variable, body)`."""

    def __init__(self, operand: Operand, variable: str, source: str) -> None:
        self._operand = operand
        self._variable = variable
        self._program = compile_cel(source)
        self._reads = mentioned([source], set(self._program.variables()) - {variable})

    def evaluate(self, values: CelValues) -> list[Any]:
        """Return the list."""
        operand = self._operand(values)
        members = list(operand) if isinstance(operand, dict) else operand
        # Copied for each chunk, so no more than is needed.
        reads = {node: names for node, names in self._reads.items() if node in values}
        context = new_context(select(values, reads))
        if not isinstance(members, list):
            context.add_variable(self._variable, members)  # the library reports the type error
            return self._program.execute(context)  # type: ignore[no-any-return]
        made: list[Any] = []
        for start in range(0, len(members), CHUNK_SIZE):
            context.add_variable(self._variable, members[start : start + CHUNK_SIZE])
            made += self._program.execute(context)
        return made
