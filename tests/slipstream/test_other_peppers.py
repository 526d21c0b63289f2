"""Processes and commands whose pepper is not the one of the database: each is refused."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest

from gateway.auth.pepper import check_pepper, load_pepper
from gateway.storage.database import Database
from slipstream.failures import UnusableError
from slipstream.settings import UpOptions
from slipstream.supervisor.fleet_runner import check_settings
from telemetry.options import check
from tests.slipstream.cli import Cli
from tests.slipstream.running import NO_WORKER, Up, environment, free_port
from tests.timing import TIMEOUT_SECONDS

PEPPER = "the pepper of all hosts"
OTHER = "the pepper of something else"


@pytest.fixture
def shared(tmp_path: Path, sqlite_template: Path) -> str:
    """The URL of a database that was used with `PEPPER`."""
    file = tmp_path / "shared.db"
    file.write_bytes(sqlite_template.read_bytes())
    url = f"sqlite:///{file}"

    async def use() -> None:
        db = Database(url)
        await check_pepper(db, PEPPER, tmp_path)
        await db.close()

    asyncio.run(use())
    return url


def ports() -> list[str]:
    """Return options for ports that are free."""
    return ["--port", str(free_port()), "--grpc-port", str(free_port())]


@pytest.mark.parametrize(
    "words", [["gateway", *ports()], ["worker", "--metrics", f"127.0.0.1:{free_port()}"]]
)
def test_gateways_and_workers_end_with_the_status_of_what_cannot_run_here(
    tmp_path: Path, shared: str, words: Sequence[str]
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "slipstream", *words, "--state", str(tmp_path / "state")],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        env={
            **environment(),
            "SLIPSTREAM_DATABASE_URL": shared,
            "SLIPSTREAM_BROKER_URL": "redis://127.0.0.1:1/0",
            "SLIPSTREAM_KEY_PEPPER": OTHER,
        },
        check=False,
    )
    assert done.returncode == 3, done.stderr
    assert "SLIPSTREAM_KEY_PEPPER: expected the key pepper with which" in done.stderr
    assert "Traceback" not in done.stderr


def test_up_is_refused_before_its_gateway_is_ready(tmp_path: Path, shared: str) -> None:
    up = Up(tmp_path / "state", *NO_WORKER, "--no-demo", SLIPSTREAM_DATABASE_URL=shared)
    answers = []
    while up.process.poll() is None:
        try:
            answers.append(httpx.get(f"{up.url}/readyz").status_code)
        except httpx.TransportError:
            continue
    assert up.ended() == 3
    assert set(answers) <= {503}
    assert "slipstream hosts token" in up.errors
    assert not (tmp_path / "state" / "pepper").exists()


def test_commands_are_refused_and_doctor_says_why(
    tmp_path: Path, shared: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLIPSTREAM_DATABASE_URL", shared)
    cli = Cli(tmp_path / "state")
    assert cli.refusal("keys", "create", "--name", "of another pepper") == (3, "unusable")
    monkeypatch.setenv("SLIPSTREAM_KEY_PEPPER", OTHER)
    assert cli.refusal("keys", "create", "--name", "of another pepper") == (3, "unusable")
    assert cli.refusal("users", "invite", "ada@example.com") == (3, "unusable")
    found = json.loads(cli.run("doctor", "--json").stdout)["findings"]
    (finding,) = [each for each in found if each["subject"] == "key pepper"]
    assert finding["level"] == "wrong"
    assert "got another one" in finding["message"]
    assert "--accept-pepper" in str(finding)
    options = check(UpOptions, ["--state", str(cli.state)], prefix="T_")
    with pytest.raises(UnusableError, match="got another one"):
        check_settings(options)


def test_another_pepper_is_accepted_where_a_person_says_that_the_first_is_lost(
    tmp_path: Path, shared: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLIPSTREAM_DATABASE_URL", shared)
    cli = Cli(tmp_path / "state")
    assert "is that of this machine" in cli.run("migrate", "--accept-pepper").stdout
    assert cli.answer("keys", "create", "--name", "new")["key"]
    monkeypatch.setenv("SLIPSTREAM_KEY_PEPPER", load_pepper(None, cli.state).decode())
    found = json.loads(cli.run("doctor", "--json").stdout)["findings"]
    assert [each["level"] for each in found if each["subject"] == "key pepper"] == ["good"]
