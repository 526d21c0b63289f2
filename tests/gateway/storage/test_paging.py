"""Lists in pages."""

from __future__ import annotations

import base64
import itertools
from uuid import uuid4

import pytest
from sqlalchemy import select

from gateway.errors import GatewayError
from gateway.storage.clock import now
from gateway.storage.database import Database
from gateway.storage.paging import PageRequest, fetch_page
from gateway.storage.tables import Flow, Profile

pytestmark = pytest.mark.databases("sqlite", "postgresql")


def encoded(text: str) -> str:
    """Return `text` in the outer form of a cursor."""
    return base64.urlsafe_b64encode(text.encode()).decode()


async def _add(db: Database, profile: Profile, *names: str) -> None:
    same_time = now()
    async with db.write() as session:
        for name in names:
            session.add(Flow(profile_id=profile.id, name=name, definition={}, created_at=same_time))


async def _walk(db: Database, limit: int) -> list[list[str]]:
    pages: list[list[str]] = []
    cursor = None
    while True:
        async with db.read() as session:
            request = PageRequest(limit=limit, cursor=cursor)
            page = await fetch_page(session, select(Flow), Flow, request)
        pages.append([flow.name for flow in page.items])
        cursor = page.next_cursor
        if cursor is None:
            return pages


async def test_rows_with_equal_times_are_listed_once(database: Database, profile: Profile) -> None:
    await _add(database, profile, "a", "b", "c")
    await _add(database, profile, "d", "e")
    pages = await _walk(database, 2)
    assert [len(page) for page in pages] == [2, 2, 1]
    assert sorted(itertools.chain(*pages)) == ["a", "b", "c", "d", "e"]
    assert set(pages[0]) == {"d", "e"}, "newest first"


async def test_a_full_last_page_has_no_next(database: Database, profile: Profile) -> None:
    await _add(database, profile, "a", "b")
    assert [len(page) for page in await _walk(database, 2)] == [2]


async def test_an_empty_list_is_one_empty_page(database: Database) -> None:
    assert await _walk(database, 2) == [[]]


async def test_a_cursor_of_another_list_is_rejected(database: Database) -> None:
    zoneless, no_id = f"2026-01-01T00:00:00 {uuid4()}", "2026-01-01T00:00:00+00:00 a\x00b"
    for cursor in ("x", "é", "=", "AAAA", encoded(zoneless), encoded(no_id)):
        async with database.read() as session:
            with pytest.raises(GatewayError, match="cursor"):
                await fetch_page(session, select(Flow), Flow, PageRequest(cursor=cursor))
