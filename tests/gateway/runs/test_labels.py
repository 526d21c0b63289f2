"""The labels of runs: the header, where they are stored and shown, and finding runs by them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from gateway.errors import GatewayError
from gateway.runs import queries
from gateway.runs.labels import HEADER, check_single_line, read_label_filter, read_labels
from gateway.runs.queries import RunFilter
from gateway.runs.run import RunStatus
from gateway.runs.store import RunStore
from gateway.storage.clock import now
from gateway.storage.database import Database
from gateway.storage.paging import PageRequest
from gateway.storage.quota_tables import ROW_BYTES
from gateway.storage.run_tables import RunLabel, RunRow
from protos.errors import ErrorCode
from tests.gateway.runs.builders import COMPLETED, PROFILE, claimed, failed, finished, new_run
from tests.gateway.runs.runs_api import RUNS, RunsApi
from tests.gateway.runs.test_queries import asked

ON_BOTH = pytest.mark.databases("sqlite", "postgresql")
OTHER = "99999999-9999-4999-8999-999999999999"
ALL = RunFilter(profile_id=PROFILE)
SIXTEEN = ", ".join(f"k{n}=v" for n in range(16))


@pytest.mark.parametrize(
    ("header", "labels"),
    [
        ("order=42, team=growth", {"order": "42", "team": "growth"}),
        ("order=42,team=growth", {"order": "42", "team": "growth"}),
        ("  a=-7 ,\t b=*x/y:z ", {"a": "-7", "b": "*x/y:z"}),
        (r'note="two \"words\", a \\"', {"note": 'two "words", a \\'}),
        ('empty=""', {"empty": ""}),
        ("a.b_c-d=x", {"a.b_c-d": "x"}),
        (f"{'k' * 40}={'v' * 500}", {"k" * 40: "v" * 500}),
        (SIXTEEN, {f"k{n}": "v" for n in range(16)}),
        ("", None),
    ],
)
def test_the_header_is_a_dictionary(header: str, labels: dict[str, str] | None) -> None:
    assert read_labels({HEADER: header.encode()}) == labels


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("order", "key 'order': expected a value"),
        ("order=", "key 'order': expected a value"),
        ("order=a b", "key 'order': expected the end or a comma"),
        ("order=1.5", "key 'order': expected the end or a comma"),
        ("order=1;q=2", "key 'order': expected the end or a comma"),
        ("order=1234567890123456", "key 'order': expected the end or a comma"),
        ("order=(1 2)", "key 'order': expected a value"),
        ('order="open', "key 'order': expected a value"),
        ("a=1,", "key 'a': expected the end or a comma"),
        ("a=1, a=2", "key 'a': expected each key once"),
        ("Order=1", "expected a key of at most 40 characters"),
        ("7=1", "expected a key of at most 40 characters"),
        ("a=1, =2", "expected a key of at most 40 characters"),
        (f"{'k' * 41}=v", "expected a key of at most 40 characters"),
        (f"k={'v' * 501}", "key 'k': expected at most 500 characters, got 501"),
        (f"{SIXTEEN}, k16=v", "expected at most 16 labels, got 17"),
        (f"k={'v' * 4096}", "expected at most 4096 bytes, got 4098"),
        ('k="é"', "key 'k': expected a value"),
    ],
)
def test_another_header_is_refused_with_what_is_wrong(header: str, said: str) -> None:
    with pytest.raises(GatewayError) as refused:
        read_labels({HEADER: header.encode()})
    assert refused.value.code is ErrorCode.INVALID_REQUEST
    assert refused.value.message.startswith("Slipstream-Metadata")
    assert said in refused.value.message
    assert len(refused.value.message) < 400


def test_of_two_header_lines_none_is_lost() -> None:
    check_single_line([(HEADER, b"a=1"), (b"host", b"x")])
    with pytest.raises(GatewayError, match="expected one header line, got 2"):
        check_single_line([(HEADER, b"a=1"), (HEADER, b"b=2")])


@pytest.mark.parametrize(
    ("name", "value"),
    [("metadata.", "1"), ("metadata.A", "1"), ("metadata.a", "\0"), ("metadata.a", "x" * 501)],
)
def test_a_filter_that_no_label_can_match_is_refused(name: str, value: str) -> None:
    with pytest.raises(GatewayError, match=r"metadata.*: expected .*, got ") as refused:
        read_label_filter([(name, value)])
    assert refused.value.code is ErrorCode.INVALID_REQUEST


@ON_BOTH
async def test_runs_of_every_mode_have_their_labels_and_are_found_by_them(store: RunStore) -> None:
    labels = {"order": "42", "team": "growth"}
    queued = new_run(labels=labels)
    await store.create(queued)
    claim = await claimed(store, labels={"order": "42"})
    fast = finished(labels={"order": "43", "team": "growth"})
    stored = (await store.record_finished([fast, finished()]))[0]
    await store.record_finished([fast])  # as after a commit that was not confirmed
    foreign = new_run(profile_id=OTHER, labels=labels)
    await store.create(foreign)

    async def found(*wanted: tuple[str, str], **narrowed: object) -> set[str]:
        which = replace(ALL, labels=wanted, **narrowed)
        return {run.id for run in (await store.page(which, PageRequest())).items}

    assert not isinstance(stored, GatewayError)
    assert stored.labels == {"order": "43", "team": "growth"}
    assert {run.id: run.labels for run in (await store.page(ALL, PageRequest())).items}[
        queued.id
    ] == labels
    assert await found(("order", "42")) == {queued.id, claim.run_id}
    assert await found(("order", "42"), ("team", "growth")) == {queued.id}
    assert await found(("team", "growth")) == {queued.id, fast.new.id}
    assert await found(("team", "growth"), status=RunStatus.QUEUED) == {queued.id}
    assert await found(("order", "42"), deployment_id=OTHER) == set()
    assert await found(("order", "42"), deployments=[OTHER]) == set()
    assert await found(("order", "42"), before=now() - timedelta(hours=1)) == set()
    assert await found(("order", "4")) == set()
    own = replace(ALL, profile_id=OTHER, labels=[("order", "42")])
    assert [run.id for run in (await store.page(own, PageRequest())).items] == [foreign.id]


@ON_BOTH
async def test_pages_of_a_label_are_complete_and_newest_first(
    store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where few of its runs match, a page ends early, and the next one goes on."""
    monkeypatch.setattr(queries, "MAX_EXAMINED", 3)
    calls = [
        finished(timedelta(minutes=at), failed() if at in (0, 8) else COMPLETED, labels={"k": "v"})
        for at in range(9)
    ]
    await store.record_finished([*calls, *(finished(timedelta(minutes=at)) for at in range(9))])
    which = replace(ALL, labels=[("k", "v")])
    for wanted, expected in (
        (which, [call.new.id for call in calls]),
        (replace(which, status=RunStatus.FAILED), [calls[0].new.id, calls[8].new.id]),
    ):
        ids: list[str] = []
        cursor = None
        while True:
            page = await store.page(wanted, PageRequest(limit=2, cursor=cursor))
            ids += [run.id for run in page.items]
            cursor = page.next_cursor
            if cursor is None:
                break
        assert ids == expected


async def rows(database: Database) -> int:
    """Return how many labels are stored."""
    async with database.read() as session:
        number = await session.scalar(select(func.count()).select_from(RunLabel))
    return number or 0


@ON_BOTH
async def test_labels_end_with_their_run(database: Database, store: RunStore) -> None:
    await store.record_finished([finished(timedelta(days=31), labels={"a": "1", "b": "2"})])
    withdrawn = new_run(labels={"a": "1"})
    await store.create(withdrawn)
    assert await rows(database) == 3
    assert await store.withdraw(withdrawn.id)
    assert await rows(database) == 2
    assert await store.prune(now() - timedelta(days=30)) == 1
    assert await rows(database) == 0


async def test_labels_cost_one_statement_and_a_run_without_them_none(
    database: Database, store: RunStore
) -> None:
    async def inserts(**fields: object) -> int:
        statements = await asked(database, store.create(new_run(**fields)), "INSERT")
        return len(statements)

    plain = await inserts()
    assert await inserts(labels={f"k{n}": "v" for n in range(16)}) == plain + 1
    assert await inserts() == plain


async def test_labels_count_as_stored(database: Database, store: RunStore) -> None:
    new = new_run(labels={"order": "42"})
    plain = new_run()
    await store.create(new)
    await store.create(plain)
    fast = finished(ending=replace(COMPLETED, output_data=None, node_outputs=None))
    labelled = replace(fast.new, id=plain.id[:-4] + "ffff", input_data=None, labels={"order": "42"})
    await store.record_finished([replace(fast, new=labelled)])
    async with database.read() as session:
        sizes = dict(
            tuple(row) for row in await session.execute(select(RunRow.id, RunRow.stored_bytes))
        )
    assert sizes[new.id] - sizes[plain.id] == 256 + 2 * len("order42")
    assert sizes[labelled.id] == ROW_BYTES + 256 + 2 * len("order42")


async def test_the_list_of_runs_takes_labels_as_filters(api: RunsApi) -> None:
    user, other = await api.user(), await api.user("bob@example.com")
    deployment = await user.deployment()
    run = await user.run(deployment, labels={"order": "42", "a.b": "two words"})
    await user.run(deployment, labels={"order": "43"})
    for query in ("metadata.order=42", "metadata.order=42&metadata.a.b=two%20words"):
        listed = (await user.client.get(f"{RUNS}?{query}")).json()["items"]
        assert [item["flow_run_id"] for item in listed] == [run.id]
        assert listed[0]["metadata"] == {"order": "42", "a.b": "two words"}
        assert listed[0]["urls"]["cancel"] == f"{RUNS}{run.id}/cancel/"
        assert (await other.client.get(f"{RUNS}?{query}")).json()["items"] == []
    refused = await user.client.get(f"{RUNS}?metadata.Order=42")
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_request")


async def test_a_deletion_does_not_pass_over_a_label(api: RunsApi) -> None:
    user = await api.user()
    run = await user.run(await user.deployment(), labels={"order": "42"})
    await api.store.claim(run.id, "w")
    await api.store.finish(run.id, 1, COMPLETED)
    until = {"to": (now() + timedelta(hours=1)).isoformat()}
    refused = await user.client.delete(RUNS, params={**until, "metadata.order": "43"})
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_request")
    assert (await user.client.get(f"{RUNS}{run.id}/")).status_code == 200


async def test_a_retry_has_the_labels_of_the_run_that_failed(api: RunsApi) -> None:
    user = await api.user()
    run = await user.run(await user.deployment(), labels={"order": "42"})
    assert await api.store.claim(run.id, "w") is not None
    assert await api.store.finish(run.id, 1, failed()) is not None
    retried = await user.client.post(f"{RUNS}{run.id}/retry/")
    assert retried.status_code == 202, retried.text
    shown = (await user.client.get(retried.json()["urls"]["get"])).json()
    assert (shown["retry_of"], shown["metadata"]) == (run.id, {"order": "42"})
    found = (await user.client.get(f"{RUNS}?metadata.order=42")).json()["items"]
    assert {item["flow_run_id"] for item in found} == {run.id, shown["flow_run_id"]}
