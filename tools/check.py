"""Run targets of the Makefile one after the other, up to the first that fails; say what was slow.

`python tools/check.py TARGET ...` prints at the end how long each target took, which tests and
files took longest (from the logs that tools/confirm.py keeps), and which tests were unstable.
Without a target it prints what the last run of tests has left, as `.ci/run` does.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

RESULTS = Path("test-results")
SHOWN = 20


def run(targets: Sequence[str]) -> int:
    """Run the targets, print the report, and return the exit status of the last that ran."""
    seconds: dict[str, float] = {}
    status = 0
    for target in targets:
        begun = time.monotonic()
        command = ["make", "--no-print-directory", target]
        status = subprocess.run(command, check=False).returncode
        seconds[target] = time.monotonic() - begun
        if status:
            break
    print(report(seconds, RESULTS), end="", flush=True)
    return status


def report(seconds: dict[str, float], results: Path) -> str:
    """Return the report: seconds by target, and what the files in `results` say of its tests."""
    tests = durations(sorted(results.glob("*.jsonl")))
    files: dict[str, float] = defaultdict(float)
    for test, duration in tests.items():
        files[test.partition("::")[0]] += duration
    unstable = [path.read_text() for path in sorted(results.glob("unstable-*.txt"))]
    parts = [
        ("the slowest tests", _lines(_longest(tests))),
        ("the slowest files", _lines(_longest(files))),
        ("unstable", "".join(unstable) or "none\n"),
    ]
    if seconds:
        parts.append(("targets", _lines([*seconds.items(), ("in all", sum(seconds.values()))])))
    return "\n".join(f"{title}\n{text}" for title, text in parts)


def durations(logs: Iterable[Path]) -> dict[str, float]:
    """Return the seconds of each test, with those of fixtures that it was the first to need."""
    found: dict[str, float] = defaultdict(float)
    for log in logs:
        with log.open() as lines:
            for line in lines:
                one = json.loads(line)
                if one["$report_type"] == "TestReport":
                    found[one["nodeid"]] += one["duration"]
    return found


def _longest(seconds: dict[str, float]) -> list[tuple[str, float]]:
    return sorted(seconds.items(), key=lambda entry: -entry[1])[:SHOWN]


def _lines(entries: Iterable[tuple[str, float]]) -> str:
    return "".join(f"{duration:8.1f} s  {name}\n" for name, duration in entries)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
