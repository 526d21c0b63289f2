"""Each attack that SECURITY.md names is carried out by a test that exists."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest

from tests.architecture.repository import ROOT

DOCUMENT = (ROOT / "SECURITY.md").read_text()
HEAD = "| attack | what stops it | test |"
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def attacks() -> list[tuple[str, str, str]]:
    """Return the rows of all tables of attacks."""
    rows = []
    within = False
    for line in DOCUMENT.splitlines():
        within = line == HEAD or (within and line.startswith("|"))
        if within and line != HEAD and not line.startswith("|---"):
            attack, stops, test = (cell.strip() for cell in line.strip("|").split(" | "))
            rows.append((attack, stops, test))
    return rows


@cache
def functions(file: str) -> frozenset[str]:
    """Return the names of the functions that a file defines."""
    path = ROOT / file
    if not path.is_file():
        return frozenset()
    tree = ast.parse(path.read_text())
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(one.name for one in ast.walk(tree) if isinstance(one, kinds))


def test_there_are_attacks_of_every_attacker() -> None:
    tables = DOCUMENT.count(HEAD)
    assert tables == len(re.findall(r"^### ", DOCUMENT, re.MULTILINE))
    assert len(attacks()) > 50


@pytest.mark.parametrize("row", attacks(), ids=lambda row: row[0][:60])
def test_every_attack_is_carried_out(row: tuple[str, str, str]) -> None:
    attack, stops, test = row
    assert attack
    assert stops
    named = NAMED.findall(test)
    assert named, f"'{attack}' names no test"
    assert NAMED.sub("", test).strip(", ") == "", "nothing but tests in the third column"
    for file, name in named:
        assert name in functions(file), f"{file} has no {name}"


def test_no_attack_is_told_twice() -> None:
    told = [attack for attack, _, _ in attacks()]
    assert len(told) == len(set(told))
