"""Blocks of commands in README and docs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.architecture.repository import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

_FENCE = re.compile(
    r"^(?P<mark><!-- test: [a-z ]+ -->\n)?```(?P<language>[a-z]*)\n(?P<text>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
_PROGRAM = re.compile(r"export [A-Z_]+=|(?:SLIPSTREAM_\S+ )*slipstream |openssl ")
_EXCUSE = re.compile(r"\bNo test runs (?:it|them)\b")
_EXCUSED_PAGE = "No test runs the commands of this page"


@dataclass(frozen=True)
class Block:
    """A block of commands.

    Attributes:
        page: the file's name.
        number: 0 for the first one of the page.
        script: the commands, without what they print.
        marked: it is executed with its page, by tests/system/test_operations.py.
        excused: its section or its page says that no test runs it.
    """

    page: str
    number: int
    script: str
    marked: bool
    excused: bool


def blocks_of(page: Path) -> Iterator[Block]:
    """Yield the blocks of a page that have commands."""
    text = page.read_text()
    number = 0
    for fence in _FENCE.finditer(text):
        section = re.split(r"^#+ ", text[: fence.start()], flags=re.MULTILINE)[-1]
        script = _script(fence["language"], fence["text"])
        if script:
            excused = _EXCUSED_PAGE in text or _EXCUSE.search(section) is not None
            yield Block(page.name, number, script, fence["mark"] is not None, excused)
            number += 1


def _script(language: str, text: str) -> str:
    """Return the commands of a fence: lines behind `$`, or all of a shell script."""
    if re.search(r"^\$ ", text, re.MULTILINE):
        lines, goes_on = [], False
        for line in text.splitlines():
            if goes_on or line.startswith("$ "):
                lines.append(line.removeprefix("$ "))
                goes_on = line.endswith("\\")
        return "\n".join(lines)
    if language == "sh" or (not language and _PROGRAM.match(text)):
        return text
    return ""
