"""A small torture test with real processes and kills; `make torture` runs a large one."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.repository import ROOT
from tests.gateway.databases import PostgresDatabase
from tests.torture.checks import checks
from tests.torture.processes import ReceiverProcess
from tests.torture.torture_run import TorturePlan, TortureRun, prepare

pytestmark = pytest.mark.long

PLANS = {
    "sqlite": TorturePlan(events=1_000, kills=4, fail=0.3, seed=1),
    "postgresql": TorturePlan(events=1_000, kills=2, fail=0.3, seed=2),
}


@pytest.fixture(params=PLANS)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/slipstream.db"
        return
    database = PostgresDatabase()
    database.create()
    yield database.url
    database.drop()


@pytest.mark.timeout(300)
async def test_every_event_arrives_with_one_id_although_dispatchers_are_killed(
    database_url: str, tmp_path: Path
) -> None:
    plan = PLANS[database_url.partition(":")[0]]
    settings = await prepare(tmp_path, database_url)
    receiver = ReceiverProcess(tmp_path, plan.fail)
    try:
        outcome = await TortureRun(plan, settings, receiver, print).run()
    finally:
        receiver.close()
    broken = {check.promise: check.broken[:3] for check in checks(outcome) if not check.kept}
    assert broken == {}


def test_the_command_ends_with_its_report() -> None:
    command = [sys.executable, "-m", "tests.torture", "--events", "200", "--kills", "1"]
    ended = subprocess.run(
        [*command, "--seed", "1"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert re.search(r"^every event arrives at least once +200 +0 +kept$", ended.stdout, re.M)
