"""Claims, leases and fencing."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from dataclasses import replace

import pytest

from gateway.deployments.settings import DeploymentType, ExecutionMode
from gateway.errors import GatewayError
from gateway.runs.run import (
    MAX_INPUT_BYTES,
    MAX_NODE_OUTPUTS_BYTES,
    MAX_OUTPUT_BYTES,
    FailureCode,
    RunResult,
    RunStatus,
)
from gateway.runs.store import RunStore
from gateway.storage.database import Database
from protos.errors import ErrorCode
from tests.gateway.databases import statements
from tests.gateway.runs.builders import COMPLETED, claimed, failed, new_run

pytestmark = pytest.mark.databases("sqlite", "postgresql")

CLAIM_ALL = """
import asyncio, json, sys
from gateway.runs.store import RunStore
from gateway.storage.database import Database

async def main(url, owner, ids):
    db = Database(url)
    store = RunStore(db)
    sys.stdout.write("ready\\n")
    sys.stdout.flush()
    sys.stdin.readline()
    got = [run_id for run_id in ids if await store.claim(run_id, owner)]
    await db.close()
    print(json.dumps(got))

asyncio.run(main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3])))
"""


async def test_a_run_is_queued_until_it_is_claimed(store: RunStore) -> None:
    new = new_run(mode=ExecutionMode.SYNC, type=DeploymentType.API, version=7)
    created = await store.create(new)
    assert (created.existing, created.claim, created.run.status) == (False, None, "queued")
    claim = await store.claim(new.id, "worker 1")
    assert claim is not None
    assert (claim.run_id, claim.attempt, claim.version) == (new.id, 1, 7)
    assert (claim.input_data, claim.mode, claim.type) == (b'{"x":[[1,2,3,4]]}', "sync", "api")
    assert claim.started_at >= claim.created_at
    run = await store.get(new.id)
    assert run is not None
    assert (run.status, run.attempt, run.ended) == (RunStatus.RUNNING, 1, False)
    assert await store.claim(new.id, "worker 2") is None


async def test_a_claim_whose_answer_was_lost_is_found_again_by_its_process_only(
    store: RunStore,
) -> None:
    claim = await claimed(store, "worker 1")
    assert await store.claim(claim.run_id, "worker 1") is None
    assert await store.claim(claim.run_id, "worker 2", again=True) is None
    again = await store.claim(claim.run_id, "worker 1", again=True)
    assert again is not None
    assert (again.run_id, again.attempt, again.input_data) == (claim.run_id, 1, claim.input_data)
    assert await store.finish(claim.run_id, again.attempt, COMPLETED) is not None
    assert await store.claim(claim.run_id, "worker 1", again=True) is None


async def test_concurrent_claims_have_one_winner_per_run(
    database: Database, store: RunStore, url: str
) -> None:
    other = Database(url)
    stores = [store, RunStore(other)]
    runs = [new_run() for _ in range(10)]
    await asyncio.gather(*(store.create(new) for new in runs))
    claims = await asyncio.gather(
        *(stores[n % 2].claim(new.id, f"w{n}") for new in runs for n in range(6))
    )
    await other.close()
    assert Counter(claim.run_id for claim in claims if claim) == Counter(new.id for new in runs)


@pytest.mark.processes
async def test_claims_of_many_processes_have_one_winner_per_run(store: RunStore, url: str) -> None:
    ids = [new.id for new in [new_run() for _ in range(30)]]
    for run_id in ids:
        await store.create(new_run(id=run_id))
    processes = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", CLAIM_ALL, url, f"p{number}", json.dumps(ids)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        for number in range(3)
    ]
    for process in processes:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
    outs = await asyncio.gather(*(process.communicate(b"go\n") for process in processes))
    got = [run_id for out, _ in outs for run_id in json.loads(out)]
    assert sorted(got) == sorted(ids)


async def test_a_run_can_be_created_and_claimed_at_once(store: RunStore) -> None:
    new = new_run(type=DeploymentType.SERVER)
    created = await store.create(new, owner="gateway 1")
    assert created.claim is not None
    assert (created.claim.attempt, created.claim.input_data) == (1, b'{"x":[[1,2,3,4]]}')
    assert await store.claim(new.id, "gateway 2") is None
    run = await store.finish(new.id, created.claim.attempt, COMPLETED)
    assert run is not None
    assert run == await store.get(new.id)
    assert (run.output_data, run.duration_seconds) == (b'{"label":1}', 0.25)
    assert run.queue_seconds == 0.0
    assert run.finished_at is not None
    assert run.started_at is not None
    assert run.finished_at >= run.started_at


async def test_a_final_state_never_changes(store: RunStore) -> None:
    claim = await claimed(store)
    first = await store.finish(claim.run_id, claim.attempt, failed(message="a \0 b", node_id="n"))
    assert first is not None
    assert first.error is not None
    assert (first.error.message, first.error.node_id) == ("a \ufffd b", "n")
    assert await store.finish(claim.run_id, claim.attempt, COMPLETED) is None
    assert await store.request_cancel(claim.run_id) is None
    assert await store.claim(claim.run_id, "w") is None
    assert not await store.withdraw(claim.run_id)
    assert await store.get(claim.run_id) == first


async def test_a_process_that_lost_its_lease_writes_nothing(store: RunStore) -> None:
    slow = await claimed(store, "slow", lease=-1, retry_safe=True)
    assert [queued.run_id for queued in (await store.reap()).requeued] == [slow.run_id]
    assert await store.finish(slow.run_id, slow.attempt, COMPLETED) is None
    quick = await store.claim(slow.run_id, "quick")
    assert quick is not None
    assert quick.attempt == 2
    assert await store.finish(slow.run_id, slow.attempt, COMPLETED) is None
    assert not await store.report(slow.run_id, slow.attempt, {"model": b"{}"})
    assert (await store.renew_leases([(slow.run_id, slow.attempt)])).lost == {slow.run_id}
    assert await store.finish(quick.run_id, quick.attempt, failed()) is not None
    run = await store.get(slow.run_id)
    assert run is not None
    assert (run.status, run.attempt, run.output_data) == (RunStatus.FAILED, 2, None)


async def test_runs_of_a_process_that_shuts_down_are_queued_again_or_fail(
    store: RunStore,
) -> None:
    repeatable = await claimed(store, retry_safe=True)
    other, cancelled = await claimed(store), await claimed(store, retry_safe=True)
    await store.request_cancel(cancelled.run_id)
    lost = await claimed(store, "slow", lease=-1, retry_safe=True)
    await store.reap()
    elsewhere = await store.claim(lost.run_id, "quick")
    assert elsewhere is not None

    held = [(claim.run_id, claim.attempt) for claim in (repeatable, other, cancelled, lost)]
    result = await store.hand_back(held)

    assert [queued.run_id for queued in result.requeued] == [repeatable.run_id]
    assert set(result.lost) == {other.run_id, cancelled.run_id}
    ended = {}
    for claim in (repeatable, other, cancelled, lost):
        run = await store.get(claim.run_id)
        assert run is not None
        ended[claim.run_id] = (run.status, run.error and run.error.code)
    assert ended == {
        repeatable.run_id: (RunStatus.QUEUED, None),
        other.run_id: (RunStatus.FAILED, FailureCode.CANCELLED_BY_SHUTDOWN),
        cancelled.run_id: (RunStatus.CANCELLED, FailureCode.CANCELLED),
        lost.run_id: (RunStatus.RUNNING, None),
    }
    due = await store.due_for_publishing(repeatable.type)
    assert repeatable.run_id in {queued.run_id for queued in due}, "at once"


async def test_one_statement_renews_all_leases_of_a_process(
    database: Database, store: RunStore
) -> None:
    held = [await claimed(store, lease=1.5) for _ in range(3)]
    lost = await claimed(store, lease=-1)
    await store.reap()
    await store.request_cancel(held[0].run_id)
    with statements(database) as asked:
        status = await store.renew_leases(
            [(claim.run_id, claim.attempt) for claim in [*held, lost]], 600
        )
    assert len([text for text in asked if not text.startswith("BEGIN")]) == 1
    assert status.lost == {lost.run_id}
    assert status.cancelled == {held[0].run_id}
    assert (await store.reap(grace=-300)).lost == (), "leases reach further than 300 s from now"
    assert await store.renew_leases([]) is not None


async def test_a_queued_run_is_cancelled_at_once_and_a_running_one_when_it_stops(
    store: RunStore,
) -> None:
    waiting = new_run()
    await store.create(waiting)
    cancelled = await store.request_cancel(waiting.id)
    assert cancelled is not None
    assert (cancelled.status, cancelled.shown_status) == (RunStatus.CANCELLED, "cancelled")
    assert cancelled.error is not None
    assert cancelled.error.code == FailureCode.CANCELLED
    assert await store.claim(waiting.id, "w") is None
    claim = await claimed(store)
    asked = await store.request_cancel(claim.run_id)
    assert asked is not None
    assert (asked.status, asked.shown_status, asked.ended) == ("running", "cancelling", False)
    assert await store.request_cancel(claim.run_id) == asked
    heard = await store.poll_cancelled([(claim.run_id, claim.attempt), (waiting.id, 0)])
    assert (heard.cancelled, heard.lost) == ({claim.run_id}, {waiting.id})
    ending = RunResult(status=RunStatus.CANCELLED, duration_seconds=1.0)
    stopped = await store.finish(claim.run_id, claim.attempt, ending)
    assert stopped is not None
    assert stopped.shown_status == "cancelled"
    assert await store.request_cancel("unknown") is None


async def test_a_run_can_be_withdrawn_only_before_it_starts(store: RunStore) -> None:
    waiting, begun = new_run(), await claimed(store, lease=-1, retry_safe=True)
    await store.create(waiting)
    assert await store.withdraw(waiting.id)
    assert (await store.get(waiting.id), await store.input_of(waiting.id)) == (None, None)
    assert not await store.withdraw(waiting.id)
    assert not await store.withdraw(begun.run_id)
    await store.reap()
    assert not await store.withdraw(begun.run_id), "queued again, but it had begun"


async def test_a_concurrent_claim_and_withdrawal_have_one_winner(
    database: Database, store: RunStore, url: str
) -> None:
    other = Database(url)
    for _ in range(10):
        new = new_run()
        await store.create(new)
        claim, withdrawn = await asyncio.gather(
            RunStore(other).claim(new.id, "w"), store.withdraw(new.id)
        )
        assert (claim is None) == withdrawn
    await other.close()


async def test_oversized_data_is_refused_or_dropped(store: RunStore) -> None:
    with pytest.raises(GatewayError, match=str(MAX_INPUT_BYTES)) as refused:
        await store.create(new_run(input_data=b"x" * (MAX_INPUT_BYTES + 1)))
    assert refused.value.code is ErrorCode.PAYLOAD_TOO_LARGE
    claim = await claimed(store)
    nodes = b'"%b"' % (b"x" * MAX_NODE_OUTPUTS_BYTES)
    ending = replace(COMPLETED, node_outputs=nodes)
    run = await store.finish(claim.run_id, claim.attempt, ending)
    assert run is not None
    assert (run.status, run.output_data, run.node_outputs) == ("completed", b'{"label":1}', None)
    claim = await claimed(store)
    ending = replace(COMPLETED, output_data=b"1" * (MAX_OUTPUT_BYTES + 1))
    run = await store.finish(claim.run_id, claim.attempt, ending)
    assert run is not None
    assert run.error is not None
    assert (run.status, run.error.code) == (RunStatus.FAILED, FailureCode.FLOW_FAILED)
    said = f"expected at most {MAX_OUTPUT_BYTES} bytes, got {MAX_OUTPUT_BYTES + 1}"
    assert said in run.error.message


async def test_concurrent_creations_share_transactions(database: Database, store: RunStore) -> None:
    runs = [new_run() for _ in range(50)]
    with statements(database) as asked:
        await asyncio.gather(*(store.create(new) for new in runs))
    assert len([text for text in asked if "run_payloads" in text]) <= 2, "one, and all others"
    found = await store.marks([new.id for new in runs])
    assert {mark.status for mark in found.values()} == {RunStatus.QUEUED}
    assert len(found) == 50


async def test_claims_and_ends_that_meet_are_written_together(
    database: Database, store: RunStore
) -> None:
    runs = [new_run(input_data=b'{"n":%d}' % number) for number in range(20)]
    await asyncio.gather(*(store.create(new) for new in runs))
    with statements(database) as asked:
        claims = await asyncio.gather(*(store.claim(new.id, "w") for new in runs))
        assert len([one for one in asked if one.startswith("UPDATE runs ")]) == 1
        assert [claim and (claim.run_id, claim.input_data) for claim in claims] == [
            (new.id, new.input_data) for new in runs
        ]
        results = [
            replace(COMPLETED, output_data=b"%d" % number, duration_seconds=number / 8)
            if number % 3
            else failed(message=f"no {number}", node_id=f"node {number}")
            for number in range(len(runs))
        ]
        ended = await asyncio.gather(
            *(store.finish(new.id, 1, result) for new, result in zip(runs, results, strict=True))
        )
        assert len([one for one in asked if one.startswith("UPDATE runs ")]) == 2
    for run, new, result in zip(ended, runs, results, strict=True):
        assert run is not None
        assert run == await store.get(new.id)
        assert (run.id, run.status, run.output_data) == (new.id, result.status, result.output_data)
        assert (run.duration_seconds, run.error) == (result.duration_seconds, result.error)


async def test_a_lost_lease_among_ends_that_meet_changes_nothing_of_the_others(
    store: RunStore,
) -> None:
    claims = [await claimed(store) for _ in range(6)]
    await store.time_out(claims[3].run_id, 1.0)
    ended = await asyncio.gather(
        *(
            store.finish(one.run_id, one.attempt + (n == 4), COMPLETED)
            for n, one in enumerate(claims)
        )
    )
    assert [run.id if run else None for run in ended] == [
        None if n in {3, 4} else one.run_id for n, one in enumerate(claims)
    ]
    stored = [await store.get(one.run_id) for one in claims]
    assert [run and run.status for run in stored] == [
        *["completed"] * 3, "failed", "running", "completed",
    ]  # fmt: skip


async def test_an_end_that_cannot_be_written_fails_nothing_of_others(store: RunStore) -> None:
    claims = [await claimed(store) for _ in range(3)]
    odd = replace(COMPLETED, output_data="no bytes")  # as a fault of ours would make it
    results = [COMPLETED, odd, COMPLETED]
    ended = await asyncio.gather(
        *(
            store.finish(claim.run_id, claim.attempt, result)
            for claim, result in zip(claims, results, strict=True)
        ),
        return_exceptions=True,
    )
    stored = [await store.get(claim.run_id) for claim in claims]
    assert [isinstance(each, Exception) for each in ended] == [False, True, False]
    assert [run and run.status for run in stored] == ["completed", "running", "completed"]


async def test_ends_and_renewals_of_the_same_runs_do_not_lock_each_other_out(
    store: RunStore,
) -> None:
    claims = [await claimed(store) for _ in range(40)]
    held = [(one.run_id, one.attempt) for one in claims]
    outcomes = await asyncio.gather(
        *(store.renew_leases(held[::-1]) for _ in range(5)),
        *(store.finish(*one, COMPLETED) for one in held),
        *(store.renew_leases(held) for _ in range(5)),
    )
    assert all(outcomes)


async def test_a_message_that_is_no_text_is_stored_with_replacements(store: RunStore) -> None:
    claims = [await claimed(store) for _ in range(2)]
    odd, usual = await asyncio.gather(
        store.finish(claims[0].run_id, 1, failed(message="half \ud800 \0")),
        store.finish(claims[1].run_id, 1, COMPLETED),
    )
    assert odd is not None
    assert odd.error is not None
    assert odd.error.message == "half ? \ufffd"
    assert usual is not None
