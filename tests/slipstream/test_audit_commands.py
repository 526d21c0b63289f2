"""`slipstream audit`, and what the command line itself leaves in the log."""

from __future__ import annotations

import csv
import json
import os
import pwd
from pathlib import Path

from tests.slipstream.cli import Cli


def test_audit_events_of_the_command_line_name_the_system_user(cli: Cli) -> None:
    made = cli.answer("keys", "create", "--name", "laptop")
    cli.answer("keys", "delete", made["id"])
    deleted, created = cli.answer("audit", "list")["items"]
    assert [created["action"], deleted["action"]] == ["api_key.create", "api_key.delete"]
    for act in (created, deleted):
        assert act["subject_id"] == made["id"]
        assert act["actor_name"] == "admin@localhost"
        assert act["system_user"] == pwd.getpwuid(os.getuid()).pw_name
        assert act["address"] is None
        assert act["key_id"] is None
    assert created["before"] is None
    assert deleted["after"] is None


def test_the_list_is_filtered_and_readable(cli: Cli) -> None:
    made = cli.answer("keys", "create", "--name", "laptop")
    cli.answer("keys", "deactivate", made["id"])
    (act,) = cli.answer("audit", "list", "--action", "api_key.deactivate")["items"]
    assert (act["before"], act["after"]) == ({"state": "active"}, {"state": "deactivated"})
    assert len(cli.answer("audit", "list", "--kind", "api_key", "--id", made["id"])["items"]) == 2
    assert cli.answer("audit", "list", "--to", "2020-01-01")["items"] == []
    shown = cli.run("audit", "list", "--limit", "1")
    assert "api_key.deactivate" in shown.stdout
    assert "command line" in shown.stdout
    assert "--cursor" in shown.stderr


def test_an_export_goes_to_a_file_or_to_stdout(cli: Cli, tmp_path: Path) -> None:
    made = cli.answer("keys", "create", "--name", "=laptop")
    (line,) = cli.run("audit", "export").stdout.splitlines()
    assert json.loads(line)["subject_id"] == made["id"]
    file = tmp_path / "audit.csv"
    assert cli.run("audit", "export", "--format", "csv", "--output", str(file)).exit_code == 0
    with file.open(newline="") as opened:
        (row,) = csv.DictReader(opened)
    assert row["subject_name"] == "'=laptop"
    assert json.loads(row["after"])["hash"] == "********"


def test_recent_events_cannot_be_pruned(cli: Cli) -> None:
    cli.answer("keys", "create", "--name", "laptop")
    assert cli.refusal("audit", "prune", "--before", "2099-01-01") == (1, "validation_failed")
    assert cli.answer("audit", "prune", "--before", "2020-01-01") == {"deleted": 0}
    assert len(cli.answer("audit", "list")["items"]) == 1
