"""The files of `slipstream monitoring` are complete, up to date, and accepted by promtool."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from slipstream.__main__ import PROCESSES
from slipstream.monitoring.files import Monitored, write_files
from tests.architecture.repository import ROOT
from tests.services import npm
from tests.slipstream.cli import invoke

DASHBOARDS = ROOT / "slipstream" / "monitoring" / "dashboards"
CASES = [Path(__file__).with_name(name) for name in ("alerts.yml", "days.yml")]


def written(folder: Path, *, token: str | None = None, notify: str | None = None) -> Path:
    """Write the files for one gateway."""
    monitored = Monitored(
        url="https://api.example.com:8080",
        objective=0.999,
        latency=0.05,
        token=token,
        runbook="docs/runbook.md",
        alertmanager="127.0.0.1:9093",
        notify=notify,
    )
    write_files(folder, monitored)
    return folder


def alerts() -> list[str]:
    """Return the names of all alerts."""
    text = (ROOT / "slipstream" / "monitoring" / "rules.yml").read_text()
    return re.findall(r"- alert: (\w+)", text)


def check(folder: Path, program: str, *words: str) -> None:
    """Run `promtool` or `amtool` in the folder, and expect success."""
    found = shutil.which(program)
    assert found, "install the Debian packages prometheus and prometheus-alertmanager"
    ended = subprocess.run([found, *words], cwd=folder, capture_output=True, text=True, check=False)
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


@pytest.mark.services
def test_dashboards_are_what_the_types_of_grafana_describe(tmp_path: Path) -> None:
    folder = tmp_path / "grafana"
    npm.install(Path(__file__).with_name("grafana"), folder)
    texts = [path.read_text() for path in sorted(DASHBOARDS.iterdir())]
    (folder / "dashboards.ts").write_text(
        'import type { OurDashboard } from "./schema";\n'
        f"export const dashboards: OurDashboard[] = [{','.join(texts)}];\n"
    )
    compiled = subprocess.run(
        ["node_modules/.bin/tsc"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert compiled.returncode == 0, compiled.stdout


def test_each_alert_has_a_section_of_the_runbook_and_two_cases() -> None:
    sections = re.findall(r"^## (\w+)$", (ROOT / "docs" / "runbook.md").read_text(), re.MULTILINE)
    assert sections == alerts()
    rules = yaml.safe_load((ROOT / "slipstream" / "monitoring" / "rules.yml").read_text())
    for rule in rules["groups"][1]["rules"]:
        assert rule["annotations"]["runbook_url"] == f"@runbook#{rule['alert'].lower()}"
    cases = set()
    for path in CASES:
        for case in yaml.safe_load(path.read_text())["tests"]:
            (tested,) = case["alert_rule_test"]
            alert, word = case["name"].split()[:2]
            assert (tested["alertname"], bool(tested.get("exp_alerts"))) == (alert, word == "FIRES")
            cases.add((alert, word))
    assert cases == {(alert, word) for alert in alerts() for word in ("FIRES", "QUIET")}


def test_each_command_of_the_runbook_exists() -> None:
    runbook = (ROOT / "docs" / "runbook.md").read_text()
    commands = re.findall(r"`slipstream\s([^`]+)`", runbook)
    assert len(commands) > 20
    for command in commands:
        words = re.findall(r"(?<!\S)[a-z][a-z-]*(?!\S)", command)
        if words[0] in PROCESSES:
            continue
        result = invoke([*words, "--help"])
        assert result.exit_code == 0, command
        for option in re.findall(r"--[a-z-]+", command):
            assert option in result.output, command


def test_secrets_are_in_a_private_file_each_and_in_no_other(tmp_path: Path) -> None:
    url = "https://alerts.example.com/?key=T0KEN"
    folder = written(tmp_path / "out", token="secret-of-prometheus", notify=url)
    for secret, holder in (("secret-of", "token"), ("T0KEN", "alertmanager.yml")):
        holders = [
            path for path in folder.rglob("*") if path.is_file() and secret in path.read_text()
        ]
        assert holders == [folder / holder]
        assert holders[0].stat().st_mode & 0o777 == 0o600
    jobs = yaml.safe_load((folder / "prometheus.yml").read_text())["scrape_configs"]
    access = {"credentials_file": "token"}
    assert [job["authorization"] for job in jobs] == [access, access]
    assert jobs[1]["http_sd_configs"][0]["authorization"] == access


def test_what_a_person_wrote_for_alertmanager_stays_until_another_receiver_is_named(
    tmp_path: Path,
) -> None:
    path = written(tmp_path) / "alertmanager.yml"
    assert "webhook_configs" not in yaml.safe_load(path.read_text())["receivers"][0]
    path.write_text("mine")
    written(tmp_path)
    assert path.read_text() == "mine"
    written(tmp_path, notify="http://127.0.0.1:5001/")
    (receiver,) = yaml.safe_load(path.read_text())["receivers"]
    assert receiver["webhook_configs"] == [{"url": "http://127.0.0.1:5001/"}]


def test_containers_get_what_was_written_and_listen_on_loopback_only(tmp_path: Path) -> None:
    folder = written(tmp_path / "out")
    services = yaml.safe_load((folder / "compose.yml").read_text())["services"]
    assert set(services) == {"prometheus", "alertmanager", "grafana"}
    mounted = {}
    for name, service in services.items():
        image, _, tag = service["image"].partition(":")
        assert image.startswith("docker.io/"), name
        assert re.fullmatch(r"v?\d+\.\d+\.\d+", tag), name
        assert service["network_mode"] == "host", name
        assert "ports" not in service, name
        for source, target, *mode in (volume.split(":") for volume in service["volumes"]):
            if source.startswith("."):
                assert (folder / source).exists(), source
                mounted[target] = (folder / source, mode)
    prometheus, grafana = services["prometheus"], services["grafana"]
    assert "--web.listen-address=127.0.0.1:9090" in prometheus["command"]
    assert grafana["environment"]["GF_SERVER_HTTP_ADDR"] == "127.0.0.1"

    configuration, _ = mounted["/etc/prometheus"]
    assert "--config.file=/etc/prometheus/prometheus.yml" in prometheus["command"]
    rules = yaml.safe_load((configuration / "prometheus.yml").read_text())["rule_files"]
    assert all((configuration / file).is_file() for file in rules)
    assert mounted["/prometheus"][1] == []  # only the data can be written

    provisioning, _ = mounted["/etc/grafana/provisioning"]
    (source,) = _provisioned(provisioning / "datasources")["datasources"]
    assert source["url"] == "http://127.0.0.1:9090"
    (provider,) = _provisioned(provisioning / "dashboards")["providers"]
    dashboards, _ = mounted[provider["options"]["path"]]
    used = {panel["datasource"]["uid"] for panel in _panels(dashboards)}
    assert used == {source["uid"]}


# Any, here and below: YAML and JSON
def _provisioned(folder: Path) -> dict[str, Any]:
    (path,) = folder.iterdir()
    read: dict[str, Any] = yaml.safe_load(path.read_text())
    return read


def _panels(folder: Path) -> list[dict[str, Any]]:
    read = (json.loads(path.read_text()) for path in sorted(folder.iterdir()))
    return [panel for dashboard in read for panel in dashboard["panels"]]


@pytest.mark.services
def test_the_tools_accept_the_files_and_each_alert_fires_and_keeps_quiet(tmp_path: Path) -> None:
    folder = written(tmp_path / "out", token="secret-of-prometheus")
    check(folder, "promtool", "check", "config", "prometheus.yml")
    check(folder, "promtool", "check", "rules", "rules.yml", "objective.yml")
    check(folder, "amtool", "check-config", "alertmanager.yml")
    for cases in CASES:
        shutil.copy(cases, folder)
        check(folder, "promtool", "test", "rules", cases.name)
