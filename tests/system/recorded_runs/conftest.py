"""An installation with one gateway on either database, and clients that call at full speed."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field

import httpx
import psutil
import pytest

from tests import onnx_models
from tests.gateway.databases import PostgresDatabase
from tests.slipstream.running import LOOPBACK, NO_WORKER, Up
from tests.system.installation import Installation, Json, chain
from tests.system.runs import Runs
from tests.timing import TIMEOUT_SECONDS, eventually

GOOD, BAD = {"index": [0, 2]}, {"index": [7]}
"""What the model `fails` answers, and what it fails on."""
_CONNECTIONS = 16


@dataclass
class Calls:
    """The answers to many calls."""

    statuses: Counter[int] = field(default_factory=Counter)
    run_ids: list[str] = field(default_factory=list)
    """Those that the answers contain."""

    def add(self, answer: httpx.Response) -> None:
        """Take an answer."""
        self.statuses[answer.status_code] += 1
        run_id = answer.json().get("flow_run_id")
        if run_id is not None:
            self.run_ids.append(run_id)


@dataclass
class Recording:
    """A running installation and its database."""

    runs: Runs
    database: PostgresDatabase | None

    @property
    def installation(self) -> Installation:
        """The installation."""
        return self.runs.installation

    def deploy(self, **settings: object) -> str:
        """Deploy the model that may fail, as fast."""
        return self.installation.deploy(chain("fails"), **settings)

    def call_many(self, deployment: str, calls: int, input_data: Json = GOOD) -> Calls:
        """Call over several connections as fast as it goes."""
        return asyncio.run(self._call_many(deployment, calls, input_data, Calls()))

    def change(self, deployment: str, **settings: object) -> None:
        """Change settings of a deployment."""
        answer = self.runs.http.patch(f"/node/deployments/{deployment}/", json=settings)
        assert answer.is_success, answer.text

    @contextmanager
    def away(self) -> Iterator[None]:
        """Keep the gateway from writing: PostgreSQL refuses connections, SQLite's file is locked.

        What the gateway has in memory is not asked for.
        """
        if self.database is None:
            path = self.installation.up.state / "slipstream.db"
            with closing(sqlite3.connect(path, isolation_level=None)) as connection:
                connection.execute("BEGIN IMMEDIATE")
                yield
                connection.execute("ROLLBACK")
            return
        asyncio.run(self.database.shut())
        try:
            yield
        finally:
            asyncio.run(self.database.reopen())

    def until_ready(self) -> None:
        """Wait until the gateway is ready, and its database answers."""
        eventually(self._is_ready, bool)

    def call_until_killed(self, deployment: str, enough: int) -> Calls:
        """Call, kill the gateway when `enough` answers have come, and wait for its successor."""
        answered = Calls()
        asyncio.run(self._call_and_kill(deployment, enough, answered))
        self.until_ready()
        return answered

    def kill_gateways(self) -> None:
        """Kill every gateway process, and wait for their successors."""
        self._kill()
        self.until_ready()

    def metric(self, reason: str) -> float:
        """Return how many calls have left no run for this reason."""
        text = self.installation.http.get("/metrics").text
        line = f'runs_unrecorded_total{{reason="{reason}"}} '
        return sum(float(each[len(line) :]) for each in text.splitlines() if each.startswith(line))

    def ids_of(self, deployment: str, **query: object) -> set[str]:
        """Return the ids of all runs of a deployment."""
        return {run["flow_run_id"] for run in self.runs.list_all(deployment=deployment, **query)}

    def missing(self, calls: Calls, deployment: str) -> list[str]:
        """Return the ids that were answered and cannot be read; some of them are asked for."""
        listed = self.ids_of(deployment, limit=200)
        polled = calls.run_ids[-20:]
        unknown = [run_id for run_id in polled if self.runs.poll(run_id).status_code != 200]
        return unknown + [run_id for run_id in calls.run_ids if run_id not in listed]

    async def _call_many(
        self, deployment: str, calls: int, input_data: Json, answered: Calls
    ) -> Calls:
        left = iter(range(calls))
        async with self._client() as client:

            async def repeat() -> None:
                for _ in left:
                    answered.add(await _call(client, deployment, input_data))

            async with asyncio.TaskGroup() as group:
                for _ in range(_CONNECTIONS):
                    group.create_task(repeat())
        return answered

    async def _call_and_kill(self, deployment: str, enough: int, answered: Calls) -> None:
        killed = False
        async with self._client() as client:

            async def repeat() -> None:
                nonlocal killed
                with suppress(httpx.TransportError):
                    while not killed:
                        answered.add(await _call(client, deployment, GOOD))
                        if len(answered.run_ids) >= enough:
                            killed = True
                            self._kill()

            async with asyncio.TaskGroup() as group:
                for _ in range(_CONNECTIONS):
                    group.create_task(repeat())

    def _client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=self.installation.up.url,
            headers={"X-API-Key": self.installation.key},
            timeout=TIMEOUT_SECONDS,
        )

    def _kill(self) -> None:
        processes = self.installation.up.gateways()
        for process in processes:
            process.kill()
        psutil.wait_procs(processes, timeout=TIMEOUT_SECONDS)

    def _is_ready(self) -> bool:
        with suppress(httpx.TransportError):
            answer = self.runs.http.get("/readyz")
            away = "database: it does not answer" in answer.json()["degraded"]
            return answer.status_code == 200 and not away
        return False


async def _call(client: httpx.AsyncClient, deployment: str, input_data: Json) -> httpx.Response:
    path = f"/node/deployment-trigger/{deployment}/"
    return await client.post(path, json={"input_data": input_data})


@pytest.fixture(scope="package", params=["sqlite", "postgresql"])
def recording(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Recording]:
    """Serve a model that fails on some inputs."""
    database: PostgresDatabase | None = None
    settings: Mapping[str, str] = LOOPBACK
    if request.param == "postgresql":
        database = PostgresDatabase()
        database.create()
        settings = {**settings, "SLIPSTREAM_DATABASE_URL": database.url}
    folder = tmp_path_factory.mktemp("recorded")
    up = Up(folder / "state", "--no-demo", *NO_WORKER, **settings)
    up.until("documentation")
    installation = Installation(up)
    installation.add_model("fails", onnx_models.fails_at_run(folder / "fails.onnx"))
    installation.serve("fails")
    yield Recording(Runs(installation), database)
    installation.stop()
    if database is not None:
        database.drop()
