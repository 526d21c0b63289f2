"""The census and the vocabulary check in tools/."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tools import census, vocabulary

pytestmark = pytest.mark.processes

STORE = """
from typing import Protocol

class Store(Protocol):
    def get(self, key: str) -> str: ...

class FileStore:
    def get(self, key: str) -> str:
        return key

class Cache:
    def get(self) -> str:
        return ""
"""


def test_the_vocabulary_check_gives_the_line_and_the_usual_term(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("A plain line.\nThe key is good for ever; to_mend_it is a name.\n")
    found = list(vocabulary.findings(page))
    assert [line.partition(".md:")[2].split(": ")[:2] for line in found] == [
        ["2", "'mend'"],
        ["2", "'for ever'"],
    ]


def test_the_vocabulary_check_leaves_released_changes_alone(tmp_path: Path) -> None:
    page = tmp_path / "CHANGELOG.md"
    page.write_text("## Unreleased\n\nplain\n\n## 0.1.0 - 2026-11-25\n\nmended\n")
    assert not list(vocabulary.findings(page))


def test_the_census_counts_shared_class_names_and_protocols_with_one_class(tmp_path: Path) -> None:
    for package in ("gateway", "slipstream"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "store.py").write_text(
            STORE if package == "gateway" else "class Cache: ...\n"
        )
    for command in (["init", "-q"], ["add", "."]):
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True)
    tree = census.Tree(tmp_path)
    assert tree.size("gateway") == (STORE.count("\n"), 1)
    assert list(tree.shared_class_names()) == ["Cache"]
    assert tree.single_protocols() == {"Store (gateway/store.py)": ["FileStore (gateway/store.py)"]}


def test_the_glossary_finds_classes_and_modules(tmp_path: Path) -> None:
    (tmp_path / "transport").mkdir()
    (tmp_path / "transport" / "vigil.py").write_text("class Vigil: ...\nlonger = 1\n")
    for command in (["init", "-q"], ["add", "."]):
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True)
    found = census.Tree(tmp_path).glossary_names(census.read_glossary())
    assert set(found) == {"Vigil (class)", "vigil (module)"}
