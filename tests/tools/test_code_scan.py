"""`make scan-code`: bandit as it is configured here."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.repository import PACKAGES, ROOT, modules

UNSAFE = """
import pickle, subprocess, tempfile

def run(command, content):
    subprocess.run(command, shell=True)
    eval(content)
    pickle.loads(content)
    tempfile.mktemp()
"""

ALLOWED = re.compile(r"# nosec\b(.*)")
WITH_REASON = re.compile(r" B\d{3}(, B\d{3})* # \w.+")


@pytest.mark.processes
def test_unsafe_code_fails(tmp_path: Path) -> None:
    (tmp_path / "unsafe.py").write_text(UNSAFE)
    command = [sys.executable, "-m", "bandit", "--configfile", "pyproject.toml", "--recursive"]
    ended = subprocess.run(
        [*command, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1, ended.stderr
    assert set(re.findall(r"Issue: \[(B\d+)", ended.stdout)) == {"B602", "B307", "B301", "B306"}


def test_lines_that_bandit_leaves_out_say_which_rule_and_why() -> None:
    left_out = 0
    for path in modules(*PACKAGES, "examples", "requirements", "tools"):
        for rest in ALLOWED.findall(path.read_text()):
            assert WITH_REASON.fullmatch(rest), f"{path.relative_to(ROOT)}: # nosec{rest}"
            left_out += 1
    assert left_out > 5
