"""Each test that SECURITY.md and docs/reliability.md name in their tables exists."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest

from tests.architecture.repository import ROOT

SECURITY, RELIABILITY = "SECURITY.md", "docs/reliability.md"
TEXTS = {name: (ROOT / name).read_text() for name in (SECURITY, RELIABILITY)}
HEADS = {
    SECURITY: "| attack | what stops it | test |",
    RELIABILITY: "| id | what happened | what the system does now | test |",
}
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def rows(document: str) -> list[list[str]]:
    """Return the cells of all such tables of a document."""
    found = []
    within = False
    for line in TEXTS[document].splitlines():
        within = line == HEADS[document] or (within and line.startswith("|"))
        if within and line != HEADS[document] and not line.startswith("|---"):
            cells = [cell.strip() for cell in line.strip("|").split(" | ")]
            assert len(cells) == HEADS[document].count("|") - 1, line
            found.append(cells)
    return found


ALL = [(document, row) for document in TEXTS for row in rows(document)]


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
    tables = TEXTS[SECURITY].count(HEADS[SECURITY])
    assert tables == len(re.findall(r"^### ", TEXTS[SECURITY], re.MULTILINE))
    assert len(rows(SECURITY)) > 50
    assert len(rows(RELIABILITY)) > 25


@pytest.mark.parametrize(
    ("document", "row"), ALL, ids=[f"{document}: {row[0][:60]}" for document, row in ALL]
)
def test_every_row_names_tests_that_exist(document: str, row: list[str]) -> None:
    *others, tests = row
    assert all(others), document
    named = NAMED.findall(tests)
    assert named, f"'{row[0]}' names no test"
    assert NAMED.sub("", tests).strip(", ") == "", "nothing but tests in the last column"
    for file, name in named:
        assert name in functions(file), f"{file} has no {name}"


@pytest.mark.parametrize("document", TEXTS)
def test_no_row_is_there_twice(document: str) -> None:
    first = [row[0] for row in rows(document)]
    assert len(first) == len(set(first))
