"""The lease of a machine, which its supervisor renews."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import suppress
from pathlib import Path

from gateway.fleet.hosts import LEASE_SECONDS, RELOAD_LEASE_SECONDS, HostStore
from gateway.storage.database import Database
from slipstream.status_printer import StatusPrinter
from slipstream.supervisor.supervisor_lease import SupervisorLease


async def test_a_lease_that_is_kept_for_a_successor_is_longer_and_is_not_renewed(
    sqlite_template: Path, tmp_path: Path
) -> None:
    shutil.copy(sqlite_template, tmp_path / "slipstream.db")
    db = Database(f"sqlite:///{tmp_path / 'slipstream.db'}")
    store = HostStore(db)
    lease = await SupervisorLease.claim(
        store,
        StatusPrinter(as_json=False, started_at=0.0),
        joined=False,
        labels={},
        memory_bytes=1,
    )
    (usual,) = [host.row.lease_until for host in await store.all()]
    renewing = asyncio.create_task(lease.run())
    await lease.keep_for_successor()
    (kept,) = [host.row.lease_until for host in await store.all()]
    assert (kept - usual).total_seconds() > RELOAD_LEASE_SECONDS - LEASE_SECONDS - 1
    await asyncio.sleep(LEASE_SECONDS / 5 + 0.5)  # it would be renewed
    (later,) = [host.row.lease_until for host in await store.all()]
    assert later == kept
    renewing.cancel()
    with suppress(asyncio.CancelledError):
        await renewing
    await db.close()
