"""`Einsum`: a product of tensors that an equation names the axes of."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from inference_server.runtime.rows.broadcasting import broadcast_shape
from inference_server.runtime.rows.nodes import Node, Rule
from inference_server.runtime.rows.polynomials import Polynomial
from inference_server.runtime.rows.refusal import MixesRowsError
from inference_server.runtime.rows.selecting import no_sizes
from inference_server.runtime.rows.tensors import ONE, RowAxis, Tensor, tensor

_LETTERS = re.compile(r"([a-zA-Z,]|\.\.\.)*->([a-zA-Z]|\.\.\.)*")
_OTHER_AXES = "0123456789"
"""In place of `...` in an equation, which has only letters."""


def einsum(node: Node) -> Tensor:
    """`Einsum`, with a letter for each axis; `...` stands for the other axes."""
    no_sizes(*node.values)
    letters, result = _equation(node)
    found: dict[str, list[Polynomial]] = {}
    places: set[tuple[str, Polynomial, Polynomial]] = set()
    for term, value in zip(letters, node.values, strict=True):
        for letter, size in zip(term, value.known_shape, strict=True):
            found.setdefault(letter, []).append(size)
        if value.rows is not None:
            places.add((term[value.rows.axis], value.rows.outer, value.rows.inner))
    if len(places) > 1:
        raise MixesRowsError("its inputs have their rows on different axes")
    if not places:
        return tensor([_common(found[letter]) for letter in result])
    ((letter, outer, inner),) = places
    for term, value in zip(letters, node.values, strict=True):
        if value.rows is None and letter in term and value.known_shape[term.index(letter)] != ONE:
            raise MixesRowsError("a constant has another value for each row")
    if letter not in result:
        raise MixesRowsError("it adds up over rows")
    sizes = [_common(found[name]) for name in result]
    return tensor(sizes, RowAxis(result.index(letter), outer, inner))


def _equation(node: Node) -> tuple[Sequence[str], str]:
    """Return the letters of each input, and those of the result; each is there once in each."""
    text = node.text("equation", "").replace(" ", "")
    terms, arrow, result = text.partition("->")
    letters = terms.split(",")
    if not arrow or len(letters) != len(node.values) or not _LETTERS.fullmatch(text):
        raise MixesRowsError("its equation is not of the form that is followed")
    if "..." in terms:
        if "..." not in result:
            raise MixesRowsError("its equation is not of the form that is followed")
        lengths = [len(term.replace("...", "")) for term in letters]
        counts = [value.rank - length for value, length in zip(node.values, lengths, strict=True)]
        others = _OTHER_AXES[: max(counts)]
        letters = [
            term.replace("...", others[len(others) - count :])
            for term, count in zip(letters, counts, strict=True)
        ]
        result = result.replace("...", others)
    if not set(result) <= set("".join(letters)) or any(
        len(set(term)) < len(term) for term in (*letters, result)
    ):
        raise MixesRowsError("its equation is not of the form that is followed")
    if any(len(term) != value.rank for term, value in zip(letters, node.values, strict=True)):
        raise MixesRowsError("its equation does not fit its inputs")
    return letters, result


def _common(sizes: Sequence[Polynomial]) -> Polynomial:
    (size,) = broadcast_shape([(size,) for size in sizes])
    return size


RULES: Mapping[str, Rule] = {"Einsum": einsum}
