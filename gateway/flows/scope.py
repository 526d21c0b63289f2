"""What a node's configuration is compiled in: which nodes it may read, and where complaints go."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from gateway.flows.expressions import Expression, ExpressionError, Fields, compile_expression
from gateway.flows.findings import Findings, pointer_token
from gateway.flows.templates import Template, split_template


class Scope:
    """One node's place in its flow."""

    def __init__(
        self,
        node_id: str,
        pointer: str,
        *,
        before: Sequence[str],
        earlier: Collection[str],
        known: Collection[str],
        findings: Findings,
    ) -> None:
        """Take the nodes that lead straight here, all that end earlier, and all that there are."""
        self.node_id = node_id
        self.before = before
        self._pointer = pointer
        self._earlier = earlier
        self._known = known
        self._findings = findings

    def complain(self, field: str, detail: str) -> None:
        """Note what is wrong with the member `field` of the configuration."""
        self._findings.add(f"{self._pointer}/{field}" if field else self._pointer, detail)

    def expression(self, field: str, source: str) -> Expression:
        """Return the expression at `field`, compiled; `null` where that fails."""
        try:
            found = compile_expression(source)
        except ExpressionError as error:
            self.complain(field, str(error))
            return _NOTHING
        for root in sorted(found.roots):
            if root not in self._known:
                self.complain(field, f"'{source}': there is no node '{root}'")
            elif root not in self._earlier:
                missing = f"add an edge that leads from '{root}' to '{self.node_id}'"
                self.complain(field, f"'{source}': '{root}' does not run before this: {missing}")
        return found

    def fields(self, field: str, sources: Mapping[str, str]) -> Fields:
        """Return the expressions of a map."""
        return Fields(
            {
                name: self.expression(f"{field}/{pointer_token(name)}", source)
                for name, source in sources.items()
            }
        )

    def template(self, field: str, text: str) -> Template:
        """Return the template at `field`, its expressions compiled."""
        parts = split_template(text)
        return Template(parts[::2], [self.expression(field, source) for source in parts[1::2]])


_NOTHING = compile_expression("null")
