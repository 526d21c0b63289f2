"""Quotas of stored runs, in installations with two gateways: refused, freed, and never lost."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select

from gateway.runs.store import RunStore
from gateway.storage.clock import now
from gateway.storage.database import Database
from gateway.storage.quota_tables import ROW_BYTES
from gateway.storage.run_tables import RunRow
from tests.gateway.databases import PostgresDatabase
from tests.gateway.runs.builders import finished
from tests.slipstream.running import NO_WORKER, Up
from tests.system.flow_documents import echo_flow
from tests.system.installation import Installation
from tests.system.runs import Runs, problem_of
from tests.timing import TIMEOUT_SECONDS, eventually

INPUT = {"param1": "x" * 20_000}
RUN_BYTES = ROW_BYTES + len('{"param1":""}') + 20_000
PLACES = 12
LIMIT = PLACES * RUN_BYTES


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.services)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/slipstream.db"
        return
    database = PostgresDatabase()
    database.create()
    yield database.url
    database.drop()


def start(tmp_path: Path, url: str, *options: str, user_bytes: int = LIMIT) -> Up:
    """Start two gateways."""
    settings = {
        "SLIPSTREAM_DATABASE_URL": url,
        "SLIPSTREAM_USER_RUN_STORAGE_BYTES": str(user_bytes),
        "SLIPSTREAM_RUN_RETENTION_DAYS": "1",
        "SLIPSTREAM_WORKERS": "2",
    }
    up = Up(tmp_path / "state", "--no-demo", *options, **settings)
    up.until("documentation")
    eventually(up.gateways, lambda found: len(found) == 2)
    return up


def trigger(runs: Runs, deployment: str) -> httpx.Response:
    """Call by connections of their own, until a gateway answers that has started."""
    url = runs.http.base_url.join(f"/node/deployment-trigger/{deployment}/")
    headers, body = runs.http.headers, {"input_data": INPUT}

    def once() -> httpx.Response:
        return httpx.post(url, json=body, headers=headers)

    return eventually(once, lambda answer: answer.status_code != 503)


def cancel(runs: Runs, run_id: str) -> None:
    """Cancel a run, of a gateway that has started."""
    eventually(lambda: runs.cancel(run_id).status_code, lambda status: status == 202)


def delete_finished(runs: Runs) -> int:
    """Delete finished runs; return how many, 0 of a gateway that has not started."""
    to = {"to": (now() + timedelta(minutes=1)).isoformat()}
    answer = runs.http.delete("/node/flow-runs/", params=to)
    deleted: int = answer.json().get("deleted", 0)
    return deleted


def trigger_many(runs: Runs, deployment: str, number: int) -> list[httpx.Response]:
    """Call several times at once."""
    with ThreadPoolExecutor(8) as threads:
        return list(threads.map(lambda _: trigger(runs, deployment), range(number)))


def metric(installation: Installation, name: str) -> int:
    """Return the value of a metric, 0 before it has one."""
    found = re.search(rf"^{re.escape(name)} (\S+)$", installation.http.get("/metrics").text, re.M)
    return int(float(found[1])) if found else 0


async def store_expired_runs(url: str, number: int) -> None:
    """Store finished runs of the user that are older than runs are kept."""
    database = Database(url)
    async with database.read() as session:
        profile_id = (await session.execute(select(RunRow.profile_id).limit(1))).scalar_one()
    store = RunStore(database)
    await store.record_finished(
        [finished(timedelta(days=2), profile_id=profile_id) for _ in range(number)]
    )
    await database.close()


@pytest.mark.long
def test_two_gateways_refuse_at_the_bound_and_accept_what_is_freed(
    tmp_path: Path, url: str
) -> None:
    up = start(tmp_path, url, *NO_WORKER)
    installation = Installation(up)
    runs = Runs(installation)
    deployment = runs.deploy(echo_flow(), "async", "api")
    answers = trigger_many(runs, deployment, 3 * PLACES)
    accepted = [answer for answer in answers if answer.status_code == 202]
    refused = [answer for answer in answers if answer.status_code != 202]
    assert (len(accepted), len(refused)) == (PLACES, 2 * PLACES)
    message = problem_of(refused[0], 507, "storage_quota_exceeded")["message"]
    assert message.startswith(f"your stored runs and events have {LIMIT} of {LIMIT} bytes (setting")
    assert len(runs.list_all()) == PLACES, "nothing of the others is stored"
    refusals = 'requests_refused_total{reason="user_storage"}'
    eventually(lambda: metric(installation, refusals), lambda found: found == len(refused))
    eventually(lambda: metric(installation, "run_storage_bytes"), lambda found: found == LIMIT)

    for gateway in up.gateways():
        gateway.send_signal(signal.SIGKILL)
    eventually(up.gateways, lambda found: len(found) == 2)
    installation.http.close()
    installation.http = runs.http = httpx.Client(
        base_url=up.url, headers=runs.http.headers, timeout=TIMEOUT_SECONDS
    )
    problem_of(trigger(runs, deployment), 507, "storage_quota_exceeded")
    for answer in accepted[:2]:
        cancel(runs, answer.json()["flow_run_id"])
    deleted = 0
    while deleted < 2:  # usage has to count them first
        deleted += eventually(lambda: delete_finished(runs), bool)
    again = [answer.status_code for answer in trigger_many(runs, deployment, PLACES)]
    assert sorted(again) == [202, 202, *[507] * (PLACES - 2)]
    installation.stop()

    asyncio.run(store_expired_runs(url, 3))
    up = start(tmp_path, url, user_bytes=LIMIT - 1)
    installation = Installation(up)
    eventually(
        lambda: metric(installation, 'retention_deleted_total{kind="runs"}'),
        lambda found: found == 3,
    )
    failed_bytes = LIMIT + PLACES * len(
        "{}"
    )  # with their node outputs, as soon as they have failed
    eventually(
        lambda: metric(installation, "run_storage_bytes"),
        lambda found: LIMIT <= found <= failed_bytes,
    )
    unfinished = Runs(installation)
    eventually(lambda: unfinished.list_all(status="failed"), lambda found: len(found) == PLACES)
    failed = unfinished.show(unfinished.list_all()[0]["flow_run_id"])
    assert failed["error"]["code"] == "storage_quota_exceeded"
    assert failed["node_outputs"] == {}, "nothing was executed"
    installation.stop()
