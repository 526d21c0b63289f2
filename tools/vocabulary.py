"""Rejects words that make code and prose hard to follow: `python tools/vocabulary.py [PATH ...]`.

Checked are Python, Markdown and configuration files of the repository, or the given files: names,
strings, comments and text. Left out are migrations, generated code, released sections of the
CHANGELOG, and this folder. Prints FILE:LINE: WORD and the usual term; exits with 1 if any is found.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PATTERNS = ("*.py", "*.md", "*.toml", "*.yml", "*.yaml", "Makefile", ".ci/*")
SKIPPED = (
    "tools/",
    "tests/tools/test_tools.py",
    "gateway/storage/migrations/",
    "requirements/",
)

# Word or phrase → what to write instead. Underscores count as spaces.
WORDS = {
    # private metaphors
    r"vigils?": "busy poll",
    r"loiterers?": "idle connection",
    r"nursery|nurseries": "fork server spawner",
    r"households?": "client subnet",
    r"foreman": "worker manager",
    r"couriers?": "delivery sender",
    r"bookkeepers?": "the name of what is written",
    r"engine rooms?": "execution services",
    r"strikers?": "fault injector",
    r"aftermath": "checks",
    r"heirs?": "successor, replacement",
    # translated idiom
    r"mends?|mended|mending": "fix",
    r"anew": "again",
    r"for ever|forevermore": "permanently, indefinitely, without a limit",
    r"come again": "retry",
    r"lets? in|let it in|lets? .{1,12} in again": "accept, authenticate",
    r"vouch(es|ed)?": "verify, CA bundle",
    r"as good as": "practically",
    r"no end of it": "the limit",
    r"goes? in a circle": "contains a cycle",
    r"there (is|are) none such": "no such",
    r"(not|nothing|no|nobody) (\w+ ){0,3}any ?more": "no longer",
    r"how (it|they|that|this|runs?) fares?": "status, progress",
    r"world outside": "network, other hosts",
    r"without drama": "predictable",
    r"has had enough": "is stopped",
    # personification
    r"whoever": "the client, the caller, any process that",
    r"nobody": "no client, no user, nothing",
    r"somebody": "a user, a client, another process",
    r"strangers?": "unauthenticated clients",
    r"(who|whoever) asks": "the client",
}

ALLOWED = {
    ("slipstream/commands/doctor.py", "mend"),  # a field of the JSON document, kept for scripts
    ("tests/slipstream/test_commands.py", "mend"),
    ("tests/slipstream/test_running_settings.py", "mend"),
}

_RULES = [
    (re.compile(rf"\b(?:{word})\b".replace(" ", r"[\s_]+"), re.IGNORECASE), usual)
    for word, usual in WORDS.items()
]


def files() -> list[Path]:
    """Return the files of the repository that are checked."""
    command = ("git", "-C", str(ROOT), "ls-files", *PATTERNS)
    git = subprocess.run(command, check=True, capture_output=True, text=True)
    listed = git.stdout.split()
    return [
        ROOT / path for path in listed if not path.startswith(SKIPPED) and "_pb2.py" not in path
    ]


def findings(path: Path) -> Iterator[str]:
    """Yield a line for each word found in a file."""
    name = os.path.relpath(path, ROOT)
    for number, line in enumerate(_text(path).splitlines(), 1):
        spaced = line.replace("_", " ")
        for rule, usual in _RULES:
            for found in rule.finditer(spaced):
                if (name, found[0].lower()) not in ALLOWED:
                    yield f"{name}:{number}: {found[0]!r}: write {usual}"


def _text(path: Path) -> str:
    text = path.read_text()
    if path.name == "CHANGELOG.md":
        released = re.search(r"^## (?!Unreleased)", text, re.MULTILINE)
        return text[: released.start()] if released else text
    return text


def main(arguments: Sequence[str]) -> int:
    """Check the files; return the exit status."""
    chosen = [Path(argument).resolve() for argument in arguments] or files()
    found = [line for path in chosen if path.exists() for line in findings(path)]
    for line in found:
        print(line)
    print(f"{len(found)} words to replace in {len(chosen)} files" if found else "vocabulary: ok")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
