"""The audit log over HTTP: who sees what, filters, pages, and both forms of the export."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import tracemalloc
from datetime import timedelta
from typing import Any

import httpx
import pytest

from gateway.audit.export import COLUMNS, ExportFormat, export
from gateway.audit.service import AuditLog
from gateway.audit.store import AuditFilter
from gateway.storage.clock import now
from gateway.storage.database import Database
from tests.gateway.audit.audit_log_entries import write_acts
from tests.gateway.in_process_gateway import InProcessGateway, deploy, flow_json

AUDIT = "/node/audit/"
EXPORT = "/node/audit/export/"
FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)"]


async def listed(user: httpx.AsyncClient, **filters: Any) -> list[dict[str, Any]]:
    """Return a page of acts. Any: JSON."""
    answer = await user.get(AUDIT, params=filters)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def test_users_see_only_events_of_their_own_resources(
    in_process_gateway: InProcessGateway,
) -> None:
    ada, bob = await in_process_gateway.user(), await in_process_gateway.user("bob@example.com")
    await deploy(ada, flow_json())
    await bob.post("/node/api-keys/", json={"name": "bob's"})
    assert {act["actor_name"] for act in await listed(ada)} == {"ada@example.com", None}
    assert [act["subject_name"] for act in await listed(bob)] == ["bob's", "manager"]
    hers = ada.headers["x-test-profile"]
    assert await listed(bob, actor=hers) == []
    assert hers not in (await bob.get(EXPORT)).text


async def test_every_filter_narrows_the_list(in_process_gateway: InProcessGateway) -> None:
    user = await in_process_gateway.user()
    made = await deploy(user, flow_json())
    await asyncio.sleep(0.01)
    middle = now().isoformat()
    await user.post(f"/node/deployments/{made['id']}/pause/")
    assert [act["action"] for act in await listed(user)] == [
        *("deployment.pause", "api_key.create", "deployment.create", "flow.create"),
        "api_key.create",
    ]
    mine = user.headers["x-test-profile"]
    for filters, actions in (
        ({"action": "flow.create"}, ["flow.create"]),
        ({"subject_kind": "api_key", "actor": mine}, ["api_key.create"]),
        ({"subject_id": made["id"]}, ["deployment.pause", "deployment.create"]),
        ({"subject_id": made["id"], "action": "flow.create"}, []),
        ({"from": middle}, ["deployment.pause"]),
        ({"to": middle, "subject_kind": "deployment"}, ["deployment.create"]),
        ({"actor": "unknown"}, []),
    ):
        assert [act["action"] for act in await listed(user, **filters)] == actions, filters


@pytest.mark.parametrize(
    "filters",
    [
        {"subject_kind": "cat"},
        {"from": "yesterday"},
        {"from": "9999-12-31T23:59:59-23:59"},
        {"to": "0001-01-01T00:00:00+23:59"},
        {"action": "a\x00"},
        {"limit": "0"},
    ],
)
async def test_filters_that_make_no_sense_are_refused(
    in_process_gateway: InProcessGateway, filters: dict[str, str]
) -> None:
    user = await in_process_gateway.user()
    answer = await user.get(AUDIT, params=filters)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")


async def test_pages_contain_every_event_once(in_process_gateway: InProcessGateway) -> None:
    user = await in_process_gateway.user()
    for number in range(5):
        await user.post("/node/api-keys/", json={"name": f"{number}"})
    names: list[str] = []
    cursor = None
    while cursor is not None or not names:
        page = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        body = (await user.get(AUDIT, params=page)).json()
        names += [act["subject_name"] for act in body["items"]]
        cursor = body["next_cursor"]
    assert names == ["4", "3", "2", "1", "0", "manager"]


async def test_a_trigger_key_reads_no_audit_log(in_process_gateway: InProcessGateway) -> None:
    user = await in_process_gateway.user()
    made = (await user.post("/node/api-keys/", json={"name": "phone"})).json()
    phone = in_process_gateway.client({"x-api-key": made["key"]})
    for path in (AUDIT, EXPORT):
        assert (await phone.get(path)).status_code == 403


async def test_json_lines_are_the_list(in_process_gateway: InProcessGateway) -> None:
    user = await in_process_gateway.user()
    await deploy(user, flow_json())
    answer = await user.get(EXPORT)
    assert answer.headers["content-type"] == "application/jsonl"
    assert 'filename="audit.jsonl"' in answer.headers["content-disposition"]
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert lines == await listed(user)
    filtered = await user.get(EXPORT, params={"action": "flow.create"})
    assert len(filtered.text.splitlines()) == 1


async def test_csv_has_the_same_events_as_the_list(in_process_gateway: InProcessGateway) -> None:
    user = await in_process_gateway.user()
    await deploy(user, {**flow_json(), "name": 'a "quoted", name'})
    answer = await user.get(EXPORT, params={"format": "csv"})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    read = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    acts = await listed(user)
    assert tuple(read[0]) == COLUMNS
    for row, act in zip(read, acts, strict=True):
        for name, value in act.items():
            if isinstance(value, dict):
                assert json.loads(row[name]) == value
            else:
                assert row[name] == ("" if value is None else value)


async def test_no_cell_is_a_formula(in_process_gateway: InProcessGateway) -> None:
    user = await in_process_gateway.user()
    for name in FORMULAS:
        await user.post("/node/api-keys/", json={"name": name})
    answer = await user.get(EXPORT, params={"format": "csv"})
    read = csv.DictReader(io.StringIO(answer.text, newline=""))
    shown = [row["subject_name"] for row in read]
    assert shown == [*(f"'{name}" for name in reversed(FORMULAS)), "manager"]


async def test_an_empty_log_is_a_header_or_nothing(in_process_gateway: InProcessGateway) -> None:
    user = await in_process_gateway.user()
    early = {"to": (now() - timedelta(days=1)).isoformat()}
    csv_text = (await user.get(EXPORT, params={"format": "csv", **early})).text
    assert csv_text == ",".join(COLUMNS) + "\r\n"
    assert (await user.get(EXPORT, params=early)).text == ""


@pytest.mark.long
async def test_an_export_of_any_length_needs_little_memory(database: Database) -> None:
    for _ in range(20):
        await write_acts(database, 1000, weight=1500)
    for form in ExportFormat:
        count = size = 0
        tracemalloc.start()
        try:
            async for part in export(AuditLog(database).batches(AuditFilter()), form):
                size += len(part)
                count += part.count(b"flow.update")
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert count == 20_000
        assert size > 30_000_000
        assert peak < 12_000_000, f"{form}: {peak}"
