"""Writes JSON in parts of bounded size. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

Dump = Callable[[Any], bytes]
"""Writes a value (Any: JSON)."""

_PART = 1 << 16
"""Roughly the bytes of a part, which takes less than a millisecond."""
_MEMBERS = 1024
"""Of a list in one part."""
_NUMBER = 8
"""Bytes that a number, true, false, null or empty value counts as."""
_MAX_DEPTH = 200
"""Deeper values are one part: orjson refuses them from 254 on."""
_LISTS = frozenset({list, tuple})
_CONTAINERS = _LISTS | {dict}
_LARGE = _CONTAINERS | {str}


def is_larger(value: Any, size: int) -> bool:
    """Whether JSON (Any) has more than about `size` bytes; takes no longer than to write these."""
    left, level = size, [value]
    for _ in range(_MAX_DEPTH):
        kinds = set(map(type, level))
        if str in kinds:
            left -= sum(len(member) for member in level if type(member) is str)
        if dict in kinds:
            names = chain.from_iterable(member for member in level if type(member) is dict)
            left -= sum(len(name) for name in names if type(name) is str)
        if left < 0 or _CONTAINERS.isdisjoint(kinds):
            break
        containers = level if kinds <= _LISTS else _containers(level)
        left -= _NUMBER * sum(map(len, containers))
        if left < 0:
            break
        level = list(chain.from_iterable(containers))
    return left < 0


def json_parts(value: Any, dump: Dump, depth: int = 0) -> Iterator[tuple[Any, bytes]]:
    """Yield the parts of JSON (Any): joined, they are `dump(value)`.

    Each comes with the value that was written; for brackets, names and parts of strings that is
    None. Raises as `dump`.
    """
    kind = type(value)
    if kind not in _LARGE or depth > _MAX_DEPTH or not is_larger(value, _PART):
        yield value, dump(value)
    elif kind is str:
        yield None, b'"'
        for start in range(0, len(value), _PART):
            yield None, dump(value[start : start + _PART])[1:-1]
        yield None, b'"'
    elif kind is dict:
        before = b"{"
        for name, member in value.items():
            yield None, before + dump({name: None})[1:-5]
            yield from json_parts(member, dump, depth + 1)
            before = b","
        yield None, b"}"
    else:
        yield from _list_parts(value, dump, depth)


def _list_parts(
    value: list[Any] | tuple[Any, ...], dump: Dump, depth: int
) -> Iterator[tuple[Any, bytes]]:
    before = b"["
    for start in range(0, len(value), _MEMBERS):
        members = value[start : start + _MEMBERS]
        if not is_larger(members, _PART):
            yield members, before + dump(members)[1:-1]
            before = b","
            continue
        for member in members:
            yield None, before
            yield from json_parts(member, dump, depth + 1)
            before = b","
    yield None, b"]"


def _containers(level: list[Any]) -> list[Any]:
    """Return the lists, and the values of objects."""
    return [
        member.values() if type(member) is dict else member
        for member in level
        if type(member) in _CONTAINERS
    ]
