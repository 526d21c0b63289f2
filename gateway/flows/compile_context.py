"""The context in which a node's configuration is compiled: readable nodes, and error reporting."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from gateway.flows.cel.expression import ExpressionMap, compile_expression
from gateway.flows.cel.template import Template, split_template
from gateway.flows.cel.values import Expression, ExpressionError
from gateway.flows.validation import ValidationErrors, pointer_token


class CompileContext:
    """One node's place in its flow."""

    def __init__(
        self,
        node_id: str,
        pointer: str,
        *,
        before: Sequence[str],
        earlier: Collection[str],
        known: Collection[str],
        errors: ValidationErrors,
    ) -> None:
        """Create the context of one node.

        Args:
            node_id: the node.
            pointer: JSON pointer to its configuration.
            before: its direct predecessors.
            earlier: all nodes that end before it starts.
            known: all nodes of the flow.
            errors: where errors are reported.
        """
        self.node_id = node_id
        self.before = before
        self._pointer = pointer
        self._earlier = earlier
        self._known = known
        self._errors = errors

    def add_error(self, field: str, detail: str) -> None:
        """Report an error about the member `field` of the configuration."""
        self._errors.add(f"{self._pointer}/{field}" if field else self._pointer, detail)

    def expression(self, field: str, source: str) -> Expression:
        """Compile the expression at `field`; return `null` after reporting an error."""
        try:
            found = compile_expression(source)
        except ExpressionError as error:
            self.add_error(field, str(error))
            return _NULL
        for root in sorted(found.roots):
            if root not in self._known:
                self.add_error(field, f"'{source}': unknown node '{root}'")
            elif root not in self._earlier:
                missing = f"add an edge from '{root}' to '{self.node_id}'"
                self.add_error(
                    field, f"'{source}': '{root}' does not run before this node: {missing}"
                )
        return found

    def fields(self, field: str, sources: Mapping[str, str]) -> ExpressionMap:
        """Compile a map of expressions."""
        return ExpressionMap(
            {
                name: self.expression(f"{field}/{pointer_token(name)}", source)
                for name, source in sources.items()
            }
        )

    def template(self, field: str, text: str) -> Template:
        """Compile the template at `field`."""
        parts = split_template(text)
        return Template(parts[::2], [self.expression(field, source) for source in parts[1::2]])


_NULL = compile_expression("null")
