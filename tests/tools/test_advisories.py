"""`make scan-dependencies` and `make advisories`: what is locked against what is known."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from requirements import advisories
from tests.architecture.repository import ROOT

Json = dict[str, Any]

LOCK = """\
jinja2==3.1.5 \\
    --hash=sha256:0000
numpy==2.4.6 ; python_full_version < '3.12' \\
    --hash=sha256:1111
numpy==2.5.5 ; python_full_version >= '3.12' \\
    --hash=sha256:2222
"""


def record(package: str, *events: Json, identifier: str = "GHSA-0001", **members: Any) -> Json:
    """Return an advisory as OSV's export has it."""
    ranges = [{"type": "ECOSYSTEM", "events": list(events)}]
    affected = {
        "package": {"ecosystem": "PyPI", "name": package, "purl": f"pkg:pypi/{package}"},
        "ranges": [{"type": "GIT", "repo": "r", "events": [{"introduced": "0"}]}, *ranges],
        "versions": ["3.1.5"],
    }
    base = {"id": identifier, "modified": "2026-01-01T00:00:00Z", "summary": "Escape"}
    return base | {"details": "long", "affected": [affected], "severity": []} | members


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a lock and no advisories yet."""
    (tmp_path / "run.lock").write_text(LOCK)
    return tmp_path


def refresh(folder: Path, *records: Json) -> Json:
    """Refresh from an export with these records; return what was written."""
    export = folder / "all.zip"
    with zipfile.ZipFile(export, "w") as archive:
        for each in records:
            archive.writestr(f"{each['id']}.json", json.dumps(each))
    assert advisories.main(["--refresh", str(export)], folder) == 0
    written: Json = json.loads((folder / advisories.NAME).read_text())
    return written


FIXED = ({"introduced": "0"}, {"fixed": "3.1.6"})


def test_an_affected_version_fails_with_its_advisory_and_what_to_do(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refresh(folder, record("Jinja2", *FIXED, aliases=["CVE-2025-1"]))
    assert advisories.main([], folder) == 1
    assert capsys.readouterr().err == (
        "run.lock: jinja2: expected 3.1.6 or newer, got 3.1.5, which GHSA-0001, CVE-2025-1 "
        'affects (Escape); run `make lock ARGS="--upgrade-package jinja2"`\n'
    )
    lock = folder / "run.lock"
    lock.write_text(lock.read_text().replace("3.1.5", "3.1.6"))
    assert advisories.main([], folder) == 0


def test_an_advisory_without_a_fix_asks_for_a_decision_which_a_refresh_keeps(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unfixed = record("jinja2", {"introduced": "3.1"})
    written = refresh(folder, unfixed)
    assert advisories.main([], folder) == 1
    assert "replace jinja2, or write under `accepted`" in capsys.readouterr().err
    written["accepted"] = {"GHSA-0001": "templates are our own"}
    (folder / advisories.NAME).write_text(json.dumps(written))
    assert advisories.main([], folder) == 0
    assert refresh(folder, unfixed)["accepted"] == written["accepted"]


@pytest.mark.parametrize(
    ("events", "affected"),
    [
        ([{"introduced": "0"}, {"fixed": "2.5"}], ["2.4.6"]),
        ([{"introduced": "2.4.7"}], ["2.5.5"]),
        ([{"introduced": "0"}, {"last_affected": "2.4.6"}], ["2.4.6"]),
        ([{"introduced": "0"}, {"last_affected": "2.4.5"}], []),
        ([{"fixed": "2.4.6"}, {"introduced": "0"}, {"introduced": "2.10"}], []),
        ([{"introduced": "0"}, {"fixed": "2.3"}, {"introduced": "2.5rc1"}], ["2.5.5"]),
    ],
)
def test_ranges_are_evaluated_for_each_locked_version(
    folder: Path, events: list[Json], affected: list[str]
) -> None:
    known = refresh(folder, record("numpy", *events))
    pins = advisories.read_locks(folder)
    assert {str(pin.version) for pin in pins if pin.package == "numpy"} == {"2.4.6", "2.5.5"}
    found = list(advisories.findings(known, pins))
    assert [line.partition(", which")[0].rpartition(" ")[2] for line in found] == affected


def test_a_version_listed_without_a_range_is_affected(folder: Path) -> None:
    malicious = record("jinja2", identifier="MAL-1")
    malicious["affected"][0]["ranges"] = []
    refresh(folder, malicious)
    assert advisories.main([], folder) == 1


def test_only_what_concerns_the_locks_is_kept_and_copies_once(folder: Path) -> None:
    kept = record("jinja2", *FIXED, aliases=["CVE-2025-1", "PYSEC-2025-1"])
    written = refresh(
        folder,
        kept,
        record("jinja2", *FIXED, identifier="PYSEC-2025-1", aliases=["GHSA-0001"]),
        record("jinja2", *FIXED, identifier="GHSA-0002", withdrawn="2026-01-02T00:00:00Z"),
        record("another", *FIXED, identifier="GHSA-0003"),
    )
    assert written["packages"] == ["jinja2", "numpy"]
    (advisory,) = written["advisories"]
    package = {"ecosystem": "PyPI", "name": "jinja2"}
    ranges = [{"type": "ECOSYSTEM", "events": list(FIXED)}]
    assert advisory == {
        "id": "GHSA-0001",
        "aliases": ["CVE-2025-1", "PYSEC-2025-1"],
        "summary": "Escape",
        "affected": [{"package": package, "ranges": ranges}],
    }


def test_age_and_gaps_are_warnings(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    known = refresh(folder)
    assert list(advisories.warnings(known, advisories.read_locks(folder))) == []
    long_ago = datetime.now(UTC) - timedelta(days=advisories.MAX_AGE_DAYS + 1)
    old = known | {"retrieved": f"{long_ago:%Y-%m-%d}", "packages": ["numpy"]}
    (folder / advisories.NAME).write_text(json.dumps(old))
    assert advisories.main([], folder) == 0
    age, gap = capsys.readouterr().err.splitlines()
    assert "expected at most 60 days since it was retrieved, got 61; run `make advisories`" in age
    assert "before these were locked: jinja2" in gap


def test_an_unreachable_source_is_reported_and_changes_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    refresh(folder, record("jinja2", *FIXED))
    before = (folder / advisories.NAME).read_bytes()
    with socket.socket() as unserved:
        unserved.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unserved.getsockname()[1]}/all.zip"
        monkeypatch.setattr(advisories, "SOURCE", url)
        assert advisories.main(["--refresh"], folder) == 1
    assert f"{advisories.NAME} is unchanged: {url}: ConnectError" in capsys.readouterr().err
    (folder / "all.zip").write_text("<html>")
    assert advisories.main(["--refresh", str(folder / "all.zip")], folder) == 1
    assert "BadZipFile" in capsys.readouterr().err
    assert (folder / advisories.NAME).read_bytes() == before


@pytest.mark.processes
def test_no_version_that_is_locked_here_is_affected() -> None:
    script = ROOT / "requirements" / "advisories.py"
    ended = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    pins = {(pin.lock, pin.package) for pin in advisories.read_locks(ROOT / "requirements")}
    assert {("run.lock", "cryptography"), ("dev.lock", "bandit")} < pins
