"""tools/check.py on a Makefile with a target that passes and one that fails."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.repository import ROOT
from tools.check import report

pytestmark = pytest.mark.processes

MAKEFILE = """
good:
	@echo good
bad:
	@exit 3
never:
	@echo never
"""


def test_it_stops_at_the_first_failure_and_says_what_took_how_long(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text(MAKEFILE)
    command = [sys.executable, str(ROOT / "tools/check.py"), "good", "bad", "never"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 2, ended.stderr
    printed = ended.stdout.splitlines()
    assert printed[0] == "good"
    begin = printed.index("targets") + 1
    assert [line.split(" s  ")[1] for line in printed[begin:]] == ["good", "bad", "in all"]
    assert "never" not in printed


def test_the_slowest_tests_and_files_come_first(tmp_path: Path) -> None:
    phases = [("a.py::one", 1), ("b.py::two", 2), ("a.py::one", 0.5), ("a.py::three", 1)]
    lines = [
        json.dumps({"$report_type": "TestReport", "nodeid": test, "duration": duration})
        for test, duration in phases
    ]
    session = json.dumps({"$report_type": "SessionStart"})
    (tmp_path / "test.jsonl").write_text("\n".join([session, *lines]))
    (tmp_path / "unstable-test.txt").write_text("a.py::one\n    it failed\n")
    found = report({"test": 4.5}, tmp_path).split("\n\n")
    tests = "     2.0 s  b.py::two\n     1.5 s  a.py::one\n     1.0 s  a.py::three"
    assert found[0] == f"the slowest tests\n{tests}"
    assert found[1] == "the slowest files\n     2.5 s  a.py\n     2.0 s  b.py"
    assert found[2] == "unstable\na.py::one\n    it failed"
    assert found[3] == "targets\n     4.5 s  test\n     4.5 s  in all\n"
