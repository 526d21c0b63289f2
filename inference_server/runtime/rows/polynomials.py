"""Sizes as polynomials of the number of rows and of the sizes that a caller chooses."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b

from inference_server.runtime.rows import MAX_SIZE
from inference_server.runtime.rows.refusal import MixesRowsError

ROWS = "N"
"""The symbol of the number of rows."""
_MAX_TERMS, _MAX_DEGREE = 12, 8
_UNFOLLOWED = "?"
"""Begins the symbol of a size that is not followed further, which may be 0."""
_UNFOLLOWED_BITS = 40
_QUOTIENT, _QUOTIENT_BITS = "/", 21
"""Ends the symbol of a size that has at most so many bits."""
_OF = "<"
"""Between the symbol of a size that is at most another one, and that one."""

Monomial = tuple[str, ...]
"""Symbols in order, each as often as it is multiplied."""


@dataclass(frozen=True, slots=True)
class Polynomial:
    """A sum of products of symbols with whole coefficients. Symbols are 1 or more, or unfollowed.

    Raises, from its operators:
        MixesRowsError: it would be too large to follow.
    """

    terms: tuple[tuple[Monomial, int], ...]
    """Sorted; no coefficient is 0."""

    @classmethod
    def of(cls, terms: Mapping[Monomial, int]) -> Polynomial:
        """Return the polynomial with these coefficients."""
        kept = tuple(sorted((monomial, factor) for monomial, factor in terms.items() if factor))
        if len(kept) > _MAX_TERMS or any(len(monomial) > _MAX_DEGREE for monomial, _ in kept):
            raise MixesRowsError("its sizes are computed in too many steps to follow")
        return cls(kept)

    def __add__(self, other: Polynomial) -> Polynomial:
        terms = Counter(dict(self.terms))
        for monomial, factor in other.terms:
            terms[monomial] += factor
        return Polynomial.of(terms)

    def __neg__(self) -> Polynomial:
        return Polynomial(tuple((monomial, -factor) for monomial, factor in self.terms))

    def __sub__(self, other: Polynomial) -> Polynomial:
        return self + -other

    def __mul__(self, other: Polynomial) -> Polynomial:
        terms: Counter[Monomial] = Counter()
        for left, factor in self.terms:
            for right, other_factor in other.terms:
                terms[tuple(sorted(left + right))] += factor * other_factor
        return Polynomial.of(terms)

    def divided_by(self, other: Polynomial) -> Polynomial | None:
        """Return the exact quotient; None if it is no polynomial with whole coefficients."""
        if not other.terms:
            return None
        quotient, rest = number(0), self
        lead, lead_factor = other.terms[-1]
        for _ in range(_MAX_TERMS):
            if not rest.terms:
                return quotient
            monomial, factor = rest.terms[-1]
            left = _without(monomial, lead)
            if left is None or factor % lead_factor:
                return None
            step = Polynomial.of({left: factor // lead_factor})
            quotient, rest = quotient + step, rest - step * other
        return None if rest.terms else quotient

    @property
    def constant(self) -> int | None:
        """The number that it is, if it is one."""
        if not self.terms:
            return 0
        return self.terms[0][1] if len(self.terms) == 1 and not self.terms[0][0] else None

    @property
    def has_rows(self) -> bool:
        """Whether it changes with the number of rows."""
        return any(ROWS in monomial for monomial, _ in self.terms)

    def per_row(self) -> Polynomial | None:
        """Return c if this is c times the number of rows, and c does not contain it."""
        quotient = self.divided_by(symbol(ROWS))
        return None if quotient is None or quotient.has_rows else quotient

    @property
    def lowest(self) -> float:
        """A number that it is never below."""
        return sum(
            factor * (0 if any(name.startswith(_UNFOLLOWED) for name in monomial) else 1)
            if factor > 0
            else factor * 2 ** sum(map(_bits, monomial))
            for monomial, factor in self.terms
        )

    def fits(self, bits: int) -> bool:
        """Whether each of its values is a signed number with so many bits."""
        if self.constant is not None:
            return -1 <= self.constant >> (bits - 1) <= 0
        greatest = sum(abs(factor) << sum(map(_bits, names)) for names, factor in self.terms)
        return greatest >> (bits - 1) == 0

    def __str__(self) -> str:
        return " + ".join("*".join([str(factor), *names]) for names, factor in self.terms) or "0"


def number(value: int) -> Polynomial:
    """Return a polynomial without symbols."""
    return Polynomial.of({(): value})


def symbol(name: str) -> Polynomial:
    """Return the polynomial that is one symbol."""
    return Polynomial(((((name,)), 1),))


def unfollowed(*parts: object) -> Polynomial:
    """Return a size that is the same for the same parts, of which a node's name is the first.

    Raises:
        MixesRowsError: one of them changes with the number of rows.
    """
    if any(isinstance(part, Polynomial) and part.has_rows for part in parts):
        raise MixesRowsError("a size is computed from the number of rows")
    return symbol(_UNFOLLOWED + _digest(*parts))


def quotient(size: Polynomial, divisor: int) -> Polynomial | None:
    """Return how often a positive number goes into a size; None if the size may be negative.

    Raises:
        MixesRowsError: the size changes with the number of rows, and is no multiple of the number.
    """
    if size.lowest < 0:
        return None
    if size.constant is not None:
        return number(size.constant // divisor)
    exact = size.divided_by(number(divisor))
    if exact is not None:
        return exact
    (((name,), _),) = unfollowed("quotient", size, divisor).terms
    return symbol(name + _QUOTIENT if size.fits(_QUOTIENT_BITS + 1) else name)


def at_most(limit: int, size: Polynomial) -> Polynomial:
    """Return the smaller one of a number and a size, which is what a slice [0:size] leaves.

    Raises:
        MixesRowsError: the size changes with the number of rows.
    """
    (((name,), _),) = unfollowed("at most", limit, size).terms
    return symbol(f"{name}{_OF}{_digest(size)}")


def is_at_most(part: Polynomial, size: Polynomial) -> bool:
    """Whether a size is one that `at_most` returned for `size`, and any limit."""
    return any(
        name.startswith(_UNFOLLOWED) and name.endswith(f"{_OF}{_digest(size)}")
        for monomial, factor in part.terms
        for name in monomial
        if len(part.terms) == len(monomial) == factor == 1
    )


def _digest(*parts: object) -> str:
    # `repr`: names are the author's, and must not look like other parts.
    return blake2b(repr(parts).encode(), digest_size=16).hexdigest()


def product(sizes: Iterable[Polynomial]) -> Polynomial:
    """Return the product; 1 of none."""
    return math.prod(sizes, start=number(1))


def _without(monomial: Monomial, factor: Monomial) -> Monomial | None:
    """Return `monomial` / `factor`, if that divides it."""
    counts, taken = Counter(monomial), Counter(factor)
    return None if taken - counts else tuple(sorted((counts - taken).elements()))


def _bits(name: str) -> int:
    if not name.startswith(_UNFOLLOWED):
        return MAX_SIZE.bit_length() - 1
    return _QUOTIENT_BITS if name.endswith(_QUOTIENT) else _UNFOLLOWED_BITS
