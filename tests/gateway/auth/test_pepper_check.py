"""The pepper of a database: the first process decides, and all others need the same one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import delete

from gateway.assembly import assemble
from gateway.auth.keys import KeyHasher
from gateway.auth.pepper import accept_pepper, check_pepper, pepper_problem
from gateway.auth.service import ApiKeyService
from gateway.boot import BootApp
from gateway.errors import StorageError
from gateway.storage.database import Database
from gateway.storage.tables import PepperCheck, Profile

pytestmark = pytest.mark.databases("sqlite", "postgresql")

PEPPER = "the pepper of all hosts"
OTHER = "the pepper of something else"


async def test_the_first_process_decides(database: Database, tmp_path: Path) -> None:
    assert await pepper_problem(database, PEPPER, tmp_path) is None
    for _ in range(2):
        await check_pepper(database, PEPPER, tmp_path)
    with pytest.raises(StorageError, match=r"SLIPSTREAM_KEY_PEPPER: expected .* got another one"):
        await check_pepper(database, OTHER, tmp_path)
    (tmp_path / "pepper").write_text(OTHER)
    with pytest.raises(StorageError, match=r"/pepper: expected .*slipstream hosts token"):
        await check_pepper(database, None, tmp_path)
    (tmp_path / "pepper").write_text(PEPPER)
    await check_pepper(database, None, tmp_path)


async def test_a_machine_without_a_pepper_makes_none_for_a_database_that_has_one(
    database: Database, tmp_path: Path
) -> None:
    state = tmp_path / "second"
    await check_pepper(database, None, tmp_path / "first")
    assert await pepper_problem(database, None, tmp_path / "first") is None
    with pytest.raises(StorageError, match="got none"):
        await check_pepper(database, None, state)
    assert not state.exists()


async def test_of_first_processes_with_other_peppers_one_goes_on(
    database: Database, tmp_path: Path
) -> None:
    peppers = [f"{PEPPER} {number}" for number in range(4)]
    checks = (check_pepper(database, pepper, tmp_path) for pepper in peppers)
    found = await asyncio.gather(*checks, return_exceptions=True)
    assert sum(each is None for each in found) == 1
    assert all(each is None or isinstance(each, StorageError) for each in found)


async def test_keys_of_an_earlier_release_need_the_pepper_that_they_have(
    database: Database, tmp_path: Path
) -> None:
    async with database.write() as session:
        owner = Profile(email="ada@example.com", role="owner")
        session.add(owner)
    keys = ApiKeyService(database, KeyHasher(PEPPER.encode()), old_after_days=90)
    await keys.create(owner.id, name="a key")
    async with database.write() as session:
        await session.execute(delete(PepperCheck))
    with pytest.raises(StorageError, match="got none"):
        await check_pepper(database, None, tmp_path / "state")
    await check_pepper(database, PEPPER, tmp_path / "state")


async def test_a_pepper_that_is_lost_can_be_replaced(database: Database, tmp_path: Path) -> None:
    await check_pepper(database, OTHER, tmp_path)
    await accept_pepper(database, PEPPER, tmp_path)
    await check_pepper(database, PEPPER, tmp_path)
    assert await pepper_problem(database, OTHER, tmp_path) is not None


async def test_a_gateway_with_another_pepper_never_answers_calls(
    database: Database, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await check_pepper(database, PEPPER, tmp_path)
    monkeypatch.setenv("SLIPSTREAM_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("SLIPSTREAM_DATABASE_URL", url)
    monkeypatch.setenv("SLIPSTREAM_KEY_PEPPER", OTHER)
    gateway = BootApp()
    with pytest.raises(StorageError, match="got another one"):
        await assemble(gateway)
    assert gateway.app is None
    assert gateway.reasons()
