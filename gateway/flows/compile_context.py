"""What a node's configuration is compiled in: which nodes it may read, and where complaints go."""

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
        """Take the nodes that lead straight here, all that end earlier, and all that there are."""
        self.node_id = node_id
        self.before = before
        self._pointer = pointer
        self._earlier = earlier
        self._known = known
        self._errors = errors

    def add_error(self, field: str, detail: str) -> None:
        """Note what is wrong with the member `field` of the configuration."""
        self._errors.add(f"{self._pointer}/{field}" if field else self._pointer, detail)

    def expression(self, field: str, source: str) -> Expression:
        """Return the expression at `field`, compiled; `null` where that fails."""
        try:
            found = compile_expression(source)
        except ExpressionError as error:
            self.add_error(field, str(error))
            return _NULL
        for root in sorted(found.roots):
            if root not in self._known:
                self.add_error(field, f"'{source}': there is no node '{root}'")
            elif root not in self._earlier:
                missing = f"add an edge that leads from '{root}' to '{self.node_id}'"
                self.add_error(field, f"'{source}': '{root}' does not run before this: {missing}")
        return found

    def fields(self, field: str, sources: Mapping[str, str]) -> ExpressionMap:
        """Return the expressions of a map."""
        return ExpressionMap(
            {
                name: self.expression(f"{field}/{pointer_token(name)}", source)
                for name, source in sources.items()
            }
        )

    def template(self, field: str, text: str) -> Template:
        """Return the template at `field`, its expressions compiled."""
        parts = split_template(text)
        return Template(parts[::2], [self.expression(field, source) for source in parts[1::2]])


_NULL = compile_expression("null")
