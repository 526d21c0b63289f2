"""Runs of a process that is cut off from the database: what they still do outside."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path

import pytest
import sqlalchemy as sa

from gateway.container import Container
from gateway.drafts.draft_flow import DraftFlow
from gateway.execution import held_run
from gateway.execution.executor import RunExecutor
from gateway.flows.plan_selection import NodeSelection
from gateway.outbound.http import GuardedHttpClient
from gateway.runs.rows import RUNS
from gateway.runs.run import FailureCode, LeaseStatus, NewRun, Run, RunStatus
from gateway.runs.store import RunStore
from gateway.storage.database import Database
from gateway.storage.sql import seconds_from_now
from tests.gateway.flows.flow_builder import INPUT, OUTPUT, build_flow, node
from tests.gateway.flows.installed_package import install_nodes
from tests.gateway.outbound.servers import ReceivedRequests, plain, serving
from tests.gateway.runs.builders import new_run, until
from tests.timing import TIMEOUT_SECONDS

pytestmark = pytest.mark.processes


class CutStore(RunStore):
    """Cannot reach the database for the leases of runs, when it is told so."""

    def __init__(self, db: Database) -> None:
        super().__init__(db)
        self.cut = False
        self.asked = 0

    async def renew_leases(
        self, held: Sequence[tuple[str, int]], lease_seconds: float = 10.0
    ) -> LeaseStatus:
        """Renew them, or fail."""
        self._check()
        return await super().renew_leases(held, lease_seconds)

    async def poll_cancelled(self, held: Sequence[tuple[str, int]]) -> LeaseStatus:
        """Look at them, or fail."""
        self._check()
        return await super().poll_cancelled(held)

    def _check(self) -> None:
        if self.cut:
            self.asked += 1
            raise ConnectionResetError("the host is cut off")


@dataclass
class CutOffRun:
    """A run that calls a service, waits, and calls it and a function; cut off while it waits."""

    store: CutStore
    new: NewRun
    work: asyncio.Task[None]
    heard: ReceivedRequests
    file: Path
    """Which the function writes."""

    async def ended(self) -> Run:
        """Return the run when its execution has ended."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await self.work
        run = await self.store.get(self.new.id)
        assert run is not None
        return run


@asynccontextmanager
async def cut_off(container: Container, store: CutStore, folder: Path) -> AsyncIterator[CutOffRun]:
    """Start such a run, and cut it off."""
    async with (
        serving(plain("thanks")) as heard,
        GuardedHttpClient([ip_network("127.0.0.0/8")], allow_http=True) as http,
    ):
        url = f"http://127.0.0.1:{heard.port}/"
        file = folder / "written"
        flow = build_flow(
            "input>before before>pause pause>after pause>work after>output work>output",
            INPUT,
            node("before", "http_request", method="POST", url=f"{url}before"),
            node("pause", "wait", seconds=0.6),
            node("after", "http_request", method="POST", url=f"{url}after", timeout_seconds=1),
            node(
                "work",
                "python",
                function="busy",
                inputs={"file": f"'{file}'"},
                on_error={"fallback": {}},
            ),
            OUTPUT,
        )
        draft = DraftFlow(definition=flow, selection=NodeSelection(), models={}).dump()
        new = new_run(draft=draft, input_data=b"{}")
        await store.create(new)
        execution = container.execution
        executor = RunExecutor(
            store,
            execution.compiled_flows,
            container.servers,
            http,
            execution.processes,
            owner="worker-1@here",
            max_output_bytes=1 << 20,
        )
        executor.start()
        work = asyncio.create_task(executor.run(new.id))
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                await until(lambda: len(heard.heads) == 1)
                store.cut = True
                await until(lambda: store.asked > 6)
            assert len(heard.heads) == 1, "nothing is sent while it is not known who has the lease"
            assert not file.exists()
            assert not work.done()
            yield CutOffRun(store, new, work, heard, file)
        finally:
            await executor.close()
            await work


@pytest.fixture
def cut_store(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CutStore:
    """A store, leases that are soon over, and functions."""
    install_nodes(tmp_path, monkeypatch)
    monkeypatch.setattr(held_run, "LEASE_SECONDS", 1.5)
    return CutStore(database)


async def test_a_run_that_was_given_away_meanwhile_ends_without_another_call(
    cut_store: CutStore, container: Container, tmp_path: Path
) -> None:
    async with cut_off(container, cut_store, tmp_path) as run:
        async with container.db.write() as session:
            over = {"lease_until": seconds_from_now(-60)}
            await session.execute(sa.update(RUNS).where(RUNS.c.id == run.new.id).values(over))
        assert (await cut_store.reap()).lost == (run.new.id,)
        cut_store.cut = False
        ended = await run.ended()
        assert ended.error is not None
        assert ended.error.code == FailureCode.WORKER_LOST
        assert len(run.heard.heads) == 1
        assert not run.file.exists()


async def test_a_run_that_nothing_has_taken_goes_on(
    cut_store: CutStore, container: Container, tmp_path: Path
) -> None:
    async with cut_off(container, cut_store, tmp_path) as run:
        cut_store.cut = False
        ended = await run.ended()
        assert (ended.status, ended.error) == (RunStatus.COMPLETED, None)
        assert [head.split()[1] for head in run.heard.heads] == ["/before", "/after"]
        assert run.file.read_text() == "called "
