"""The files of `slipstream monitoring` are complete, up to date, and accepted by promtool."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from slipstream.monitoring.files import Monitored, write_files
from tests.architecture.repository import ROOT

DASHBOARDS = ROOT / "slipstream" / "monitoring" / "dashboards"
CASES = Path(__file__).with_name("alerts.yml")


def written(folder: Path, *, token: str | None = None) -> Path:
    """Write the files for one gateway."""
    monitored = Monitored(
        url="https://api.example.com:8080",
        objective=0.999,
        latency=0.05,
        token=token,
        runbook="docs/runbook.md",
    )
    write_files(folder, monitored)
    return folder


def alerts() -> list[str]:
    """Return the names of all alerts."""
    text = (ROOT / "slipstream" / "monitoring" / "rules.yml").read_text()
    return re.findall(r"- alert: (\w+)", text)


def promtool(folder: Path, *words: str) -> None:
    """Run it in the folder, and expect success."""
    program = shutil.which("promtool")
    assert program, "install the Debian package prometheus"
    ended = subprocess.run(
        [program, *words], cwd=folder, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.tools
def test_dashboards_are_up_to_date() -> None:
    from monitoring.__main__ import rendered  # noqa: PLC0415 - others need no SDK

    committed = {path.name: path.read_text() for path in DASHBOARDS.iterdir()}
    assert rendered() == committed, "run make monitoring"


@pytest.mark.parametrize("path", sorted(DASHBOARDS.iterdir()), ids=lambda path: path.stem)
def test_panels_describe_themselves(path: Path) -> None:
    panels = json.loads(path.read_text())["panels"]
    assert panels
    for panel in panels:
        assert panel["title"]
        assert panel["description"], panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert all(target["legendFormat"] for target in panel["targets"]), panel["title"]


def test_each_alert_has_a_section_of_the_runbook_and_two_cases() -> None:
    sections = re.findall(r"^## (\w+)$", (ROOT / "docs" / "runbook.md").read_text(), re.MULTILINE)
    assert sections == alerts()
    rules = yaml.safe_load((ROOT / "slipstream" / "monitoring" / "rules.yml").read_text())
    for rule in rules["groups"][1]["rules"]:
        assert rule["annotations"]["runbook_url"] == f"@runbook#{rule['alert'].lower()}"
    cases = {}
    for case in yaml.safe_load(CASES.read_text())["tests"]:
        (tested,) = case["alert_rule_test"]
        cases[case["name"]] = bool(tested.get("exp_alerts"))
    assert cases == {
        f"{alert} {word}": fires
        for alert in alerts()
        for word, fires in (("FIRES", True), ("QUIET", False))
    }


def test_the_token_is_in_a_private_file_and_in_no_other(tmp_path: Path) -> None:
    folder = written(tmp_path / "out", token="secret-of-prometheus")
    holders = [
        path for path in folder.rglob("*") if path.is_file() and "secret-of" in path.read_text()
    ]
    assert holders == [folder / "token"]
    assert (folder / "token").stat().st_mode & 0o777 == 0o600
    jobs = yaml.safe_load((folder / "prometheus.yml").read_text())["scrape_configs"]
    access = {"credentials_file": "token"}
    assert [job["authorization"] for job in jobs] == [access, access]
    assert jobs[1]["http_sd_configs"][0]["authorization"] == access


@pytest.mark.services
def test_promtool_accepts_the_files_and_each_alert_fires_and_keeps_quiet(tmp_path: Path) -> None:
    folder = written(tmp_path / "out", token="secret-of-prometheus")
    promtool(folder, "check", "config", "prometheus.yml")
    promtool(folder, "check", "rules", "rules.yml", "objective.yml")
    shutil.copy(CASES, folder)
    promtool(folder, "test", "rules", CASES.name)
