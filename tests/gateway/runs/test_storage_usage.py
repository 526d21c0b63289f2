"""What is counted of stored runs and events: what their rows say, whatever happens to a process."""

from __future__ import annotations

import asyncio
import signal
import sys
from datetime import timedelta

import pytest
from sqlalchemy import func, select, text

from gateway.runs.run import RunResult, RunStatus
from gateway.runs.storage_usage import StorageCounts, read_stored_bytes
from gateway.runs.store import RunStore
from gateway.storage.clock import now
from gateway.storage.database import Database
from gateway.storage.quota_tables import ROW_BYTES, StorageChange, StorageUsage
from gateway.storage.run_tables import RunRow
from gateway.webhooks.outbox import delivery_values, insert_deliveries
from gateway.webhooks.store import DeliveryStore
from tests.gateway.databases import statements
from tests.gateway.runs.builders import COMPLETED, PROFILE, claimed, failed, finished, new_run

pytestmark = pytest.mark.databases("sqlite", "postgresql")

OTHER = "99999999-9999-4999-8999-999999999999"
RESULT = len(COMPLETED.output_data or b"") + len(COMPLETED.node_outputs or b"")
INPUT = b'{"x":1}'


async def counted(database: Database, profile_id: str = PROFILE) -> tuple[int, int]:
    """Return what is counted of a user and of all."""
    async with database.read() as session:
        return await read_stored_bytes(session, profile_id)


async def insert_delivery(database: Database, message_id: str, payload: bytes) -> None:
    """Insert a delivery of the user's, unless there is one of this id."""
    async with database.read() as session:
        columns = [text(f"'{PROFILE}' AS profile_id"), text("'e' AS id")]
        columns += [text("'d' AS deployment_id"), text("'disabled' AS state")]
        endpoint = (await session.execute(select(*columns))).one()
    values = delivery_values(
        endpoint, message_id=message_id, event="run.completed", payload=payload, run_id=None
    )
    async with database.write() as session:
        await insert_deliveries(session, [values])


async def test_each_part_of_a_run_is_counted_once(database: Database, store: RunStore) -> None:
    claim = await claimed(store, input_data=INPUT)
    size = ROW_BYTES + len(INPUT)
    assert await counted(database) == (size, size)
    await store.report(claim.run_id, 1, {"a": b"12345", "b": b"123"})
    assert await counted(database) == (size + 8, size + 8)
    await store.finish(claim.run_id, 1, COMPLETED)
    assert await store.finish(claim.run_id, 1, COMPLETED) is None, "it has ended"
    assert await counted(database) == (size + 8 + RESULT, size + 8 + RESULT)
    await store.create(new_run(profile_id=OTHER, input_data=INPUT))
    assert await counted(database) == (size + 8 + RESULT, 2 * size + 8 + RESULT)


async def test_a_fast_call_counts_if_its_output_is_kept(
    database: Database, store: RunStore
) -> None:
    without = RunResult(status=RunStatus.COMPLETED)
    await store.record_finished([finished(input_data=None, ending=without)])
    assert await counted(database) == (0, 0)
    kept = finished(input_data=None)
    for _ in range(2):
        await store.record_finished([kept])
    assert await counted(database) == (ROW_BYTES + RESULT,) * 2


async def test_whatever_deletes_a_row_frees_its_bytes(database: Database, store: RunStore) -> None:
    waiting = new_run()
    await store.create(waiting)
    assert await store.withdraw(waiting.id)
    assert await counted(database) == (0, 0)
    await store.record_finished([finished(timedelta(days=31)) for _ in range(3)])
    assert (await counted(database))[0] > 3 * ROW_BYTES
    assert await store.prune(now()) == 3
    assert await counted(database) == (0, 0)
    for _ in range(2):  # the second one changes nothing
        await insert_delivery(database, "msg_1", b"12345")
    assert await counted(database) == (ROW_BYTES + 5,) * 2
    deliveries = DeliveryStore(database, lease_seconds=30, disable_seconds=60)
    assert await deliveries.prune(now() + timedelta(days=1)) == 1
    assert await counted(database) == (0, 0)


async def test_counts_and_rows_agree_while_changes_are_added(
    database: Database, store: RunStore, url: str
) -> None:
    other = Database(url)
    adding = [StorageCounts(database), StorageCounts(other)]

    async def work(profile_id: str) -> None:
        for number in range(12):
            claim = await claimed(store, profile_id=profile_id, input_data=b"1" * number)
            if number % 3:
                await store.finish(claim.run_id, 1, COMPLETED if number % 2 else failed())
            if number % 4 == 0:
                await asyncio.gather(*(counts.add_changes() for counts in adding))

    await asyncio.gather(work(PROFILE), work(OTHER), work(PROFILE))
    for counts in adding:
        await counts.add_changes()
    sizes = select(RunRow.profile_id, func.sum(RunRow.stored_bytes)).group_by(RunRow.profile_id)
    async with database.read() as session:
        stored = {owner: int(size) for owner, size in await session.execute(sizes)}
        found = await session.execute(select(StorageUsage.profile_id, StorageUsage.bytes))
        assert {owner: size for owner, size in found if owner} == stored
        changes = select(func.count()).select_from(StorageChange)
        assert (await session.execute(changes)).scalar_one() == 0
    with statements(database) as asked:
        assert await adding[0].add_changes() == sum(stored.values())
    assert not any("DELETE" in one or "INSERT" in one for one in asked), "nothing has changed"
    await other.close()


PROGRAM = """
import asyncio, sys
from gateway.runs.new_runs import build_insert, insert_runs
from gateway.storage.database import Database
from tests.gateway.runs.builders import new_run

async def main(url):
    async with Database(url).write() as session:
        await insert_runs(session, [build_insert(new_run(input_data=b"1" * 9999), None, 30.0)])
        print("inserted", flush=True)
        await asyncio.sleep(600)

asyncio.run(main(sys.argv[1]))
"""


@pytest.mark.processes
async def test_a_process_that_is_killed_before_the_commit_leaves_nothing_counted(
    database: Database, url: str
) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, url, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"inserted\n"
    process.send_signal(signal.SIGKILL)
    await process.wait()
    async with database.write():  # SQLite: the killed process has given its lock back
        pass
    assert await counted(database) == (0, 0)
