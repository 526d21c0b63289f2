"""Run pytest, and what failed once more: alone, one test after the other, in one process.

`python tools/confirm.py NAME [ARGUMENT ...]` gives the arguments to pytest. It runs those tests
again that failed, when everything else has ended. What fails again fails the target. What passes
then is *unstable*: it is counted, printed with its first error, and written to
`test-results/unstable-NAME.txt`. More than eight failures, an error while tests are collected or a
session's fixture is set up, and any other end of pytest fail the target at once.

CPython's `regrtest --rerun` does the same, and calls it "FAILURE then SUCCESS".

The module is also the plugin of pytest that its runs load.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

MOST_UNSTABLE = 8
RESULTS = Path("test-results")
_SESSION_FIXTURE = "fixture of the session that failed"


@dataclass(slots=True)
class Results:
    """What the log of a run of pytest says.

    Attributes:
        passed: ids of the tests of which nothing failed.
        errors: the first error of each test that failed, by its id.
        unconfirmable: errors that no test alone can have caused.
    """

    passed: set[str] = field(default_factory=set)
    errors: dict[str, str] = field(default_factory=dict)
    unconfirmable: list[str] = field(default_factory=list)


def read(log: Path) -> Results:
    """Read a file that pytest-reportlog has written."""
    results = Results()
    with log.open() as lines:
        for line in lines:
            report: dict[str, Any] = json.loads(line)
            test, outcome = report.get("nodeid", ""), report.get("outcome")
            if outcome == "passed" and report.get("when") == "call":
                results.passed.add(test)
            elif outcome == "failed":
                error = _text(report["longrepr"])
                results.errors.setdefault(test, error)
                if report["$report_type"] == "CollectReport":
                    results.unconfirmable.append(f"{test or 'the tests'} cannot be collected")
                results.unconfirmable += [
                    f"the session's fixture {value} failed"
                    for name, value in report.get("user_properties", ())
                    if name == _SESSION_FIXTURE
                ]
    results.passed -= results.errors.keys()
    return results


def _text(error: Any) -> str:
    """Return an error in words: pytest logs most as their parts, and some as text."""
    crash = error.get("reprcrash") if isinstance(error, dict) else None
    return "{path}:{lineno}: {message}".format_map(crash) if crash else str(error)


def run(name: str, arguments: Sequence[str]) -> int:
    """Run the tests, confirm what failed, and return the exit status of the target."""
    RESULTS.mkdir(exist_ok=True)
    report = RESULTS / f"unstable-{name}.txt"
    report.unlink(missing_ok=True)
    cache = (RESULTS / name).absolute()
    last_failed = cache / "v/cache/lastfailed"
    logs = [RESULTS / f"{name}.jsonl", RESULTS / f"{name}-again.jsonl"]
    for log in logs:
        log.unlink(missing_ok=True)
    status = _pytest([*arguments, "-o", f"cache_dir={cache}"], logs[0])
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        return status
    first = read(logs[0])
    if status == pytest.ExitCode.OK:
        _say(f"{len(first.passed)} passed, 0 unstable")
        return status
    refusals = first.unconfirmable
    if len(first.errors) > MOST_UNSTABLE:
        refusals.append(f"more than {MOST_UNSTABLE} tests failed")
    if refusals:
        _say(f"not confirmed: {'; '.join(dict.fromkeys(refusals))}")
        return status
    _say(f"{len(first.errors)} failed: they run once more, alone")
    # pytest forgets a crash when pytest-xdist starts the test again and it passes beside others.
    last_failed.parent.mkdir(parents=True, exist_ok=True)
    last_failed.write_text(json.dumps(dict.fromkeys(first.errors, True)))
    alone = ["--last-failed", "-n", "0"]
    again_status = _pytest([*arguments, "-o", f"cache_dir={cache}", *alone], logs[1])
    if again_status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        return again_status
    again = read(logs[1])
    unstable = {test: error for test, error in first.errors.items() if test in again.passed}
    failed = first.errors.keys() - unstable.keys()
    if unstable:
        text = "".join(f"{test}\n{_indented(error)}\n" for test, error in unstable.items())
        report.write_text(text)
        _say(f"unstable, as they failed and then passed alone (also in {report})\n{text.rstrip()}")
    counts = [f"{len(first.passed)} passed", f"{len(unstable)} unstable"]
    counts += [f"{len(failed)} failed"] if failed else []
    _say(", ".join(counts))
    return int(pytest.ExitCode.TESTS_FAILED if failed else pytest.ExitCode.OK)


def _pytest(arguments: Sequence[str], log: Path) -> int:
    """Run pytest to its end, also when Ctrl-C ends it; return its exit status."""
    plugin = ["-p", "tools.confirm", f"--report-log={log}"]
    with subprocess.Popen([sys.executable, "-m", "pytest", *arguments, *plugin]) as process:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        status = process.wait()
        signal.signal(signal.SIGINT, before)
    return status if status >= 0 else 128 - status


def _indented(error: str) -> str:
    return "\n".join(f"    {line}" for line in error.splitlines())


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Take away what pytest-xdist appends to the id of a test with a group.

    `--last-failed` would not find it, and it could not be copied to a command line. What a test
    has printed that passed is left out: it was two thirds of the log.
    """
    if report.passed:
        report.sections = []
    worker = getattr(report, "node", None)
    if worker is not None and worker.config.getoption("dist") == "loadgroup":
        report.nodeid = report.nodeid.rpartition("@")[0] or report.nodeid


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[object], request: pytest.FixtureRequest
) -> Iterator[None]:
    """Let the report of a test say that a fixture of the session failed."""
    try:
        return (yield)
    except Exception:
        if fixturedef.scope == "session":
            test = request._pyfuncitem  # noqa: SLF001 - `node` is the session
            test.user_properties.append((_SESSION_FIXTURE, fixturedef.argname))
        raise


if __name__ == "__main__":
    sys.exit(run(sys.argv[1], sys.argv[2:]))
