"""tools/confirm.py on tests that fail always, once, or with their worker."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest

from tests.architecture.repository import ROOT

pytestmark = pytest.mark.processes

PLUGINS = "xdist.plugin,xdist.looponfail,pytest_reportlog.plugin"
ONCE = """
from pathlib import Path

def is_first(name: str) -> bool:
    seen = Path(__file__).with_name(name)
    if seen.exists():
        return False
    seen.touch()
    return True
"""


class Target:
    """The tests of one file, as a target of the Makefile."""

    def __init__(self, folder: Path, tests: str) -> None:
        (folder / "pytest.ini").touch()
        (folder / "test_it.py").write_text(f"import os, pytest\n{ONCE}\n{tests}")
        self._name = f"check-{uuid4().hex[:8]}"
        self._folder = folder

    def run(self, *options: str) -> tuple[int, list[str], str]:
        """Return the exit status, the lines printed, and the file of unstable tests."""
        command = [sys.executable, str(ROOT / "tools/confirm.py"), self._name]
        command += [str(self._folder), "--rootdir", str(self._folder), *options]
        command += ["-c", str(self._folder / "pytest.ini"), "--dist", "loadgroup"]
        # Its folder is the working directory: what it writes stays there.
        environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
        # Importing all plugins takes longer than these tests.
        environment |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": PLUGINS}
        ended = subprocess.run(
            command, cwd=self._folder, env=environment, capture_output=True, text=True, check=False
        )
        assert "Traceback" not in ended.stderr, ended.stderr
        report = self._folder / f"test-results/unstable-{self._name}.txt"
        return (
            ended.returncode,
            ended.stdout.splitlines(),
            report.read_text() if report.exists() else "",
        )


def test_what_fails_once_is_unstable_and_what_always_fails_fails_the_target(
    tmp_path: Path,
) -> None:
    target = Target(
        tmp_path,
        """
@pytest.mark.xdist_group("a group")
@pytest.mark.parametrize("value", ["a@b", "c::d [e]"])
def test_once(value): assert not is_first("test"), f"the first time, with {value}"

@pytest.fixture
def resource():
    yield
    assert not is_first("resource"), "it was not closed"

def test_of_a_fixture(resource): pass

def test_always(): assert not os.environ, "as ever"
""",
    )
    status, lines, report = target.run("-n", "2")
    assert status == 1
    assert lines[-1] == "1 passed, 2 unstable, 1 failed"
    assert "test_it.py::test_of_a_fixture\n" in report
    assert "it was not closed" in report
    assert "the first time, with " in report
    assert "as ever" not in report


def test_what_fails_once_lets_the_target_pass_and_is_counted(tmp_path: Path) -> None:
    target = Target(tmp_path, "def test_once(): assert not is_first('it')\ndef test_other(): pass")
    status, lines, report = target.run("-n", "0")
    assert status == 0
    assert lines[-1] == "1 passed, 1 unstable"
    assert report.startswith("test_it.py::test_once\n")
    status, lines, report = target.run("-n", "0")
    assert status == 0
    assert lines[-1] == "2 passed, 0 unstable"
    assert not report, "that of the run before"


@pytest.mark.parametrize(("crashes", "status"), [("is_first('it')", 0), ("True", 1)])
def test_a_crash_of_a_worker_is_not_lost(tmp_path: Path, crashes: str, status: int) -> None:
    target = Target(
        tmp_path,
        f"""
import sys
@pytest.mark.xdist_group("a group")
def test_crash():
    # Alone it fails as others do: there is no worker that could crash.
    if {crashes}: os._exit(3) if "PYTEST_XDIST_WORKER" in os.environ else pytest.fail("again")

@pytest.mark.xdist_group("a group")
def test_other(): pass
""",
    )
    found, lines, report = target.run("-n", "2", "--max-worker-restart", "1")
    assert found == status
    if status == 0:
        assert lines[-1] == "1 passed, 1 unstable"
        assert "crashed while running" in report


def test_a_crash_of_pytest_itself_fails_the_target(tmp_path: Path) -> None:
    status, _, _ = Target(tmp_path, "def test_crash(): os.kill(os.getpid(), 9)").run("-n", "0")
    assert status == 128 + 9


@pytest.mark.parametrize(
    ("tests", "processes", "reason"),
    [
        ("assert not is_first('it')\ndef test_it(): pass", "2", ""),
        (
            """
@pytest.fixture(scope="session")
def shared(): assert not is_first("it")
def test_it(shared): pass
""",
            "2",
            "the session's fixture shared failed",
        ),
        (
            """
@pytest.mark.parametrize("number", range(9))
def test_it(number): assert not is_first(str(number))
""",
            "0",
            "more than 8 tests failed",
        ),
    ],
    ids=["collection", "session fixture", "nine"],
)
def test_what_no_test_alone_causes_fails_the_target(
    tmp_path: Path, tests: str, processes: str, reason: str
) -> None:
    status, lines, report = Target(tmp_path, tests).run("-n", processes)
    assert status != 0
    assert not report
    assert not any("run once more" in line for line in lines)
    assert reason in lines[-1]


def test_eight_are_confirmed(tmp_path: Path) -> None:
    tests = """
@pytest.mark.parametrize("number", range(8))
def test_it(number): assert not is_first(str(number))
"""
    status, lines, report = Target(tmp_path, tests).run("-n", "0")
    assert status == 0
    assert lines[-1] == "0 passed, 8 unstable"
    assert report.count("test_it.py::test_it[") == 8
