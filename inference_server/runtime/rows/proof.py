"""The proof itself: one pass over the nodes of a graph."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, ValueInfoProto, defs

from inference_server.runtime.rows import (
    VERSION,
    broadcasting,
    classical,
    declared,
    equations,
    gathering,
    microsoft,
    products,
    quantizing,
    reducing,
    reshaping,
    selecting,
    slicing,
)
from inference_server.runtime.rows.nodes import (
    CLASSICAL,
    MICROSOFT,
    STANDARD,
    Node,
    Rule,
    attributes_of,
    constant,
    constant_node,
)
from inference_server.runtime.rows.polynomials import number
from inference_server.runtime.rows.refusal import MixesRowsError, Refused
from inference_server.runtime.rows.tensors import Tensor, tensor
from model_store.manifest import RowProof

_MAX_NODES = 50_000
_MAX_ALL_ENTRIES = 500_000
"""Numbers that are followed in a graph."""
_OLDEST, _NEWEST = 7, 24
"""Versions of the standard operators whose changes the rules know."""
_NEWEST_CLASSICAL = 5
_MAX_TEXT = 300
_STANDARD_RULES: Mapping[str, Rule] = {
    "Constant": constant_node,
    **broadcasting.RULES,
    **reshaping.RULES,
    **selecting.RULES,
    **slicing.RULES,
    **gathering.RULES,
    **products.RULES,
    **equations.RULES,
    **reducing.RULES,
    **quantizing.RULES,
    **classical.TEXT_RULES,
}
RULES: Mapping[str, Mapping[str, Rule]] = {
    STANDARD: _STANDARD_RULES,
    CLASSICAL: classical.RULES,
    MICROSOFT: microsoft.RULES,
}
"""Operator set → operator → rule."""
# Dropout only in training: then its rule refuses it.
_RANDOM_NAMES = (
    "Bernoulli Dropout Multinomial RandomNormal RandomNormalLike RandomUniform RandomUniformLike"
)
_RANDOM = frozenset(_RANDOM_NAMES.split())
_GRAPHS = frozenset({AttributeProto.GRAPH, AttributeProto.GRAPHS})


def prove(model: ModelProto) -> RowProof:
    """Return whether row i of every output depends on row i of the inputs alone, or why not known.

    Holds for every number of rows if all inputs are sent that a caller must send, and no other,
    sizes of one name are equal, and none is 0 or MAX_SIZE or more.
    """
    try:
        known = follow(model)
        for output in model.graph.output:
            _check_output(output.name, known.get(output.name))
    except MixesRowsError as refusal:
        return RowProof(version=VERSION, reason=str(refusal)[:_MAX_TEXT])
    except Exception as error:  # noqa: BLE001 - an attribute or a size that makes no sense
        reason = f"the graph cannot be followed ({type(error).__name__})"
        return RowProof(version=VERSION, reason=reason)
    return RowProof(version=VERSION, reason=None)


def follow(model: ModelProto) -> Mapping[str, Tensor | Refused]:
    """Return what is known of each tensor of the model, by name.

    Raises:
        MixesRowsError: the graph is too large, or readers of ONNX may differ about it.
    """
    return _Graph(model).known()


class _Graph:
    """One reading of a model."""

    def __init__(self, model: ModelProto) -> None:
        self._graph = model.graph
        self._versions = _versions(model)
        self._functions = {(_set(one.domain), one.name) for one in model.functions}
        self._known: dict[str, Tensor | Refused] = {}
        self._entries = 0

    def known(self) -> Mapping[str, Tensor | Refused]:
        """Return what is known of each tensor."""
        graph = self._graph
        if len(graph.node) > _MAX_NODES:
            raise MixesRowsError(f"the model has more than {_MAX_NODES:,} nodes")
        self._add_constants(graph)
        given = [value for value in graph.input if value.name not in self._known]
        if not given:
            raise MixesRowsError("the model takes no input")
        for value in given:
            self._name_once(value.name)
        self._known |= declared.inputs(given)
        for index, node in enumerate(graph.node):
            self._add(index, node)
        declared.check((value, self._known[value.name]) for value in self._declared(given))
        return self._known

    def _declared(self, given: Sequence[ValueInfoProto]) -> Iterator[ValueInfoProto]:
        """Yield what is declared of tensors. What no node takes cannot mislead ONNX Runtime."""
        graph = self._graph
        yield from given
        taken = {name for node in graph.node for name in node.input}
        constants = {proto.name for proto in graph.initializer}
        optional = [value for value in graph.input if value.name in constants]
        for value in (*graph.value_info, *graph.output, *optional):
            if value.name in taken and value.name in self._known:
                yield value

    def _add_constants(self, graph: GraphProto) -> None:
        for proto in graph.initializer:
            self._name_once(proto.name)
            try:
                self._known[proto.name] = constant(proto)
            except MixesRowsError as refusal:
                self._known[proto.name] = Refused(f"constant '{proto.name}': {refusal}")
        for sparse in graph.sparse_initializer:
            self._name_once(sparse.values.name)
            self._known[sparse.values.name] = tensor([number(size) for size in sparse.dims])

    def _name_once(self, name: str) -> None:
        if name in self._known:
            raise MixesRowsError(f"tensor '{name}' is there twice")

    def _add(self, index: int, node: NodeProto) -> None:
        """Find out what is known of a node's outputs."""
        found: Sequence[Tensor | Refused]
        sources = [self._known.get(name) for name in node.input]
        refused = next((source for source in sources if isinstance(source, Refused)), None)
        if refused is not None:
            found = [refused] * len(node.output)
        else:
            try:
                found = self._outputs(node)
            except MixesRowsError as refusal:
                text = f"node '{node.name or index}' ({node.op_type}): {refusal}"
                found = [Refused(text)] * len(node.output)
        for name, value in zip(node.output, found, strict=True):
            if name:
                self._name_once(name)
                self._known[name] = value
            if isinstance(value, Tensor):
                self._entries += len(value.entries or ())
        if self._entries > _MAX_ALL_ENTRIES:
            raise MixesRowsError("more sizes are computed than are followed")

    def _read(self, node: NodeProto, domain: str) -> Node:
        """Return a node with what is known of its inputs."""
        inputs: list[Tensor | None] = []
        for name in node.input:
            value = self._known.get(name) if name else None
            if name and value is None:
                raise MixesRowsError(f"its input '{name}' comes from no earlier node")
            assert not isinstance(value, Refused)
            inputs.append(value)
        if (domain, node.op_type) in self._functions:
            raise MixesRowsError("it is a function of the model's own")
        attributes = attributes_of(node)
        if any(attribute.type in _GRAPHS for attribute in attributes.values()):
            raise MixesRowsError("graphs within graphs are not followed")
        if any(value is not None and value.is_sequence for value in inputs):
            raise MixesRowsError("sequences are not followed")
        version = self._versions.get(domain, 0)
        name = next((name for name in node.output if name), "")
        return Node(name, node.op_type, version, inputs, len(node.output), attributes)

    def _outputs(self, node: NodeProto) -> Sequence[Tensor]:
        domain = _set(node.domain)
        read = self._read(node, domain)
        rule = RULES.get(domain, {}).get(node.op_type)
        constant_inputs = not any(value.rows or value.has_sizes for value in read.values)
        if rule is None:
            if not constant_inputs or not _is_deterministic(domain, read.op, read.version):
                raise MixesRowsError("no rule shows that it keeps rows apart")
            return [tensor(None)] * len(node.output)
        try:
            made = rule(read)
        except MixesRowsError:
            if not constant_inputs or node.op_type in _RANDOM:
                raise
            return [tensor(None)] * len(node.output)  # all of it is the same for every row
        values = [made] if isinstance(made, Tensor) else list(made)
        if len(values) < len(node.output):
            raise MixesRowsError("it has more outputs than are followed")
        return values[: len(node.output)]


def _versions(model: ModelProto) -> Mapping[str, int]:
    """Return the version of each operator set.

    Raises:
        MixesRowsError: one is given twice, or the rules do not know it.
    """
    versions: dict[str, int] = {}
    for entry in model.opset_import:
        domain = _set(entry.domain)
        if versions.setdefault(domain, entry.version) != entry.version:
            raise MixesRowsError(f"operator set '{domain or 'ai.onnx'}' is imported twice")
    standard = versions.get(STANDARD, _OLDEST)
    if not _OLDEST <= standard <= _NEWEST:
        raise MixesRowsError(
            f"version {standard} of the standard operators: {_OLDEST} to {_NEWEST} are followed"
        )
    if versions.get(CLASSICAL, 1) > _NEWEST_CLASSICAL:
        raise MixesRowsError(f"a version of {CLASSICAL} that is newer than {_NEWEST_CLASSICAL}")
    return versions


def _set(domain: str) -> str:
    """Return the name of an operator set in RULES."""
    return STANDARD if domain == "ai.onnx" else domain


def _is_deterministic(domain: str, op: str, version: int) -> bool:
    """Whether an operator of a public set returns the same for the same inputs."""
    return domain in (STANDARD, CLASSICAL) and op not in _RANDOM and defs.has(op, version, domain)


def _check_output(name: str, value: Tensor | Refused | None) -> None:
    if isinstance(value, Refused):
        raise MixesRowsError(value.reason)
    if value is None:
        raise MixesRowsError(f"output '{name}' comes from no node")
    if value.rows is not None and value.has_sizes:
        raise MixesRowsError(f"output '{name}' has the numbers of rows")
    if value.rows is None or value.rows.axis or not value.rows.is_plain:
        raise MixesRowsError(f"output '{name}' does not begin with one part for each row")
