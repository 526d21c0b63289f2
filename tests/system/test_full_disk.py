"""Installations whose database has a disk that fills up, and has room again."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.gateway.databases import PostgresDatabase
from tests.services.small_disk import SmallDisk
from tests.slipstream.running import NO_WORKER, Up
from tests.system.flow_documents import echo_flow, waiting_flow
from tests.system.installation import Installation, Json
from tests.system.runs import Runs, problem_of
from tests.timing import eventually

pytestmark = pytest.mark.services

MIB = 1 << 20
FULL = "database: its disk is full, nothing is stored"


@pytest.fixture
def disk() -> Iterator[SmallDisk]:
    found = SmallDisk(mebibytes=96)
    found.mount()
    yield found
    found.unmount()


@pytest.fixture
def database(disk: SmallDisk) -> Iterator[PostgresDatabase]:
    """A PostgreSQL database whose tables are on the small disk."""
    found = PostgresDatabase()
    folder = disk.folder / "tablespace"
    folder.mkdir()
    shutil.chown(folder, "postgres", "postgres")
    found.execute(f"CREATE TABLESPACE {found.name} LOCATION '{folder}'")
    found.execute(f"CREATE DATABASE {found.name} TABLESPACE {found.name}")
    yield found
    found.drop()
    found.execute(f"DROP TABLESPACE {found.name}")


def degraded(up: Up) -> list[str]:
    answer = httpx.get(f"{up.url}/readyz")
    assert answer.status_code == 200, answer.text
    found: list[str] = answer.json()["degraded"]
    return found


def big_input(size: int) -> Json:
    """Return input that does not compress."""
    return {"x": os.urandom(size // 2).hex()}


def test_runs_leave_part_of_the_disk_of_sqlite_free(disk: SmallDisk) -> None:
    up = Up(disk.folder / "state", "--no-demo", *NO_WORKER)
    up.until("documentation")
    installation = Installation(up)
    runs = Runs(installation)
    deployment = runs.deploy(echo_flow(), "async", "server")
    finished = runs.accept(deployment, {"param1": "1"})
    runs.until(finished)
    assert degraded(up) == []

    disk.fill(leave=2 * MIB)
    refused = problem_of(runs.call(deployment, {"param1": "2"}), 507, "storage_quota_exceeded")
    assert refused["message"].startswith("the database's disk has too little room: delete runs ")
    assert degraded(up) == ["database: its disk is nearly full, new runs are refused"]
    assert [run["flow_run_id"] for run in runs.list_all()] == [finished]

    disk.make_room()
    runs.until(runs.accept(deployment, {"param1": "3"}))
    assert degraded(up) == []
    installation.stop()


def test_a_full_disk_of_sqlite_refuses_what_it_cannot_store(disk: SmallDisk) -> None:
    up = Up(disk.folder / "state", "--no-demo", *NO_WORKER)
    up.until("documentation")
    installation = Installation(up)
    runs = Runs(installation)
    deployment = runs.deploy(waiting_flow(1), "async", "server")
    given = big_input(8 * MIB)
    accepted = runs.accept(deployment, given)
    gateways = up.gateways()

    disk.fill()
    eventually(lambda: degraded(up), lambda found: found == [FULL])  # its result is not stored
    answer = installation.http.post("/node/flows/", json=echo_flow())
    refused = problem_of(answer, 507, "storage_quota_exceeded")
    assert refused["message"].startswith("the database's disk has too little room: delete flows")
    assert [run["flow_run_id"] for run in runs.list_all()] == [accepted]

    disk.make_room()
    assert runs.until(accepted)["output_data"] == given
    eventually(lambda: degraded(up), lambda found: not found)
    assert installation.http.post("/node/flows/", json=echo_flow()).status_code == 201
    assert up.gateways() == gateways, "none was restarted"
    installation.stop()


def test_one_user_fills_no_disk_of_sqlite(disk: SmallDisk) -> None:
    up = Up(disk.folder / "state", "--no-demo", *NO_WORKER)
    up.until("documentation")
    installation = Installation(up)
    runs = Runs(installation)
    deployment = runs.deploy(echo_flow(), "async", "server")
    flow = echo_flow()
    flow["nodes"][0]["notes"] = "x" * MIB
    saved = []
    while (answer := installation.http.post("/node/flows/", json=flow)).status_code == 201:
        saved.append(answer.json()["id"])
        assert len(saved) < 96
    refused = problem_of(answer, 507, "storage_quota_exceeded")
    assert "delete flows that are not needed" in refused["message"]
    for number in range(5):
        runs.until(runs.accept(deployment, {"param1": f"{number}"}))  # others go on
    assert degraded(up) == []
    # several: a deletion takes room itself, in the write-ahead log, until the next checkpoint
    for flow_id in saved[:4]:
        assert installation.http.delete(f"/node/flows/{flow_id}/").status_code == 204
    assert installation.http.post("/node/flows/", json=flow).status_code == 201
    installation.stop()


@pytest.mark.long
def test_a_full_disk_of_postgresql_refuses_runs(
    tmp_path: Path, disk: SmallDisk, database: PostgresDatabase
) -> None:
    up = Up(tmp_path / "state", "--no-demo", *NO_WORKER, SLIPSTREAM_DATABASE_URL=database.url)
    up.until("documentation")
    installation = Installation(up)
    runs = Runs(installation)
    deployment = runs.deploy(waiting_flow(1), "async", "server")
    given = big_input(2 * MIB)
    accepted = runs.accept(deployment, given)

    disk.fill()
    eventually(lambda: degraded(up), lambda found: found == [FULL])  # its result is not stored
    answer = runs.call(deployment, big_input(2 * MIB))
    refused = problem_of(answer, 507, "storage_quota_exceeded")
    assert refused["message"].startswith("the database's disk is full; nothing was changed: ")
    assert degraded(up) == [FULL]
    assert [run["flow_run_id"] for run in runs.list_all()] == [accepted]

    disk.make_room()
    assert runs.until(accepted)["output_data"] == given
    eventually(lambda: degraded(up), lambda found: not found)
    runs.until(runs.accept(deployment, big_input(2 * MIB)))
    installation.stop()
