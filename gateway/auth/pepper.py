"""The pepper, the secret for hashing API keys: set by the operator, or generated once.

The database has a keyed hash of a constant, by which each process that starts recognises its
installation's pepper. With another one, every key and session would be unknown.
"""

from __future__ import annotations

import hmac
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import exists, select

from gateway.auth.keys import KeyHasher
from gateway.errors import StorageError
from gateway.storage.database import Database
from gateway.storage.sql import dialect_insert
from gateway.storage.tables import ApiKey, PepperCheck

_MIN_BYTES = 16
_GENERATED_BYTES = 32
_VARIABLE = "SLIPSTREAM_KEY_PEPPER"
_HASHED = "the pepper of a host"
"""The constant. An earlier release wrote the same hash into the rows of hosts, and the migration
takes it from there."""
_FIX = (
    "let this machine join with `slipstream join` (`slipstream hosts token` on the first one "
    "prints how), copy the pepper of another one, or use a database of its own. If the pepper is "
    "lost: `slipstream migrate --accept-pepper`"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PepperProblem:
    """Why this machine cannot use the database with its pepper."""

    message: str
    fix: str = _FIX

    def __str__(self) -> str:
        return f"{self.message}: {self.fix}"


def load_pepper(given: str | None, state: Path) -> bytes:
    """Return the pepper: `given`, or else the one in the state folder.

    The file `<state>/pepper` is created on the first call, readable by its owner only. If several
    processes create it at once, all of them return the same pepper.

    Raises:
        StorageError: the pepper is too short, or its file cannot be read or written.
    """
    if given is not None:
        return _check_length(given.encode(), _VARIABLE)
    path = _file(state)
    try:
        if not path.exists():
            _create_file(path)
        return _check_length(path.read_bytes(), str(path))
    except OSError as error:
        raise StorageError(f"the pepper {path} cannot be used: {error.strerror}") from error


def has_pepper(given: str | None, state: Path) -> bool:
    """Whether this machine has a pepper already."""
    return given is not None or _file(state).exists()


async def check_pepper(db: Database, given: str | None, state: Path) -> None:
    """Check that this machine has the pepper of the database, whose tables must be the newest.

    The first process to start on a database decides which one that is. Of several first ones, all
    that have another pepper are refused.

    Raises:
        StorageError: it has another one; or none, and the database was used with one; or as
            `load_pepper`.
    """
    problem = await pepper_problem(db, given, state)
    if problem is None:
        own = _digest(load_pepper(given, state))
        if await _digest_of(db) != own:  # there was none
            async with db.write() as session:
                insert = dialect_insert(PepperCheck, db.dialect).values(id=1, digest=own)
                await session.execute(insert.on_conflict_do_nothing())
            problem = await pepper_problem(db, given, state)
    if problem is not None:
        raise StorageError(str(problem))


async def pepper_problem(db: Database, given: str | None, state: Path) -> PepperProblem | None:
    """Return why this machine cannot use the database with its pepper; changes nothing.

    Raises:
        StorageError: as `load_pepper`.
    """
    expected = await _digest_of(db)
    # Read before the file is looked for: another first process makes that before it writes any row.
    is_used = expected is not None or await _has_keys(db)
    if not has_pepper(given, state):
        if not is_used:
            return None
        message = (
            f"{_VARIABLE}: expected the key pepper with which this database was used, got none, "
            f"and there is no {_file(state)}, so no API key would be known"
        )
        return PepperProblem(message=message)
    if expected is None or hmac.compare_digest(expected, _digest(load_pepper(given, state))):
        return None
    source = _VARIABLE if given is not None else str(_file(state))
    message = (
        f"{source}: expected the key pepper with which this database was used, got another one, "
        "with which no API key would be known"
    )
    return PepperProblem(message=message)


async def accept_pepper(db: Database, given: str | None, state: Path) -> None:
    """Make the pepper of this machine that of the database; all keys are unknown from then on.

    Raises:
        StorageError: as `load_pepper`.
    """
    digest = _digest(load_pepper(given, state))
    async with db.write() as session:
        await session.merge(PepperCheck(id=1, digest=digest))


def _digest(pepper: bytes) -> str:
    return KeyHasher(pepper).digest(_HASHED).hex()


async def _digest_of(db: Database) -> str | None:
    async with db.read() as session:
        return await session.scalar(select(PepperCheck.digest))


async def _has_keys(db: Database) -> bool:
    """Whether there are keys, as of an earlier release."""
    async with db.read() as session:
        return bool(await session.scalar(select(exists(select(ApiKey.id)))))


def _file(state: Path) -> Path:
    return state / "pepper"


def _create_file(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".pepper-{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_hex(_GENERATED_BYTES).encode())
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)  # fails if another process was first; its pepper is used
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def _check_length(pepper: bytes, source: str) -> bytes:
    if len(pepper) < _MIN_BYTES:
        message = f"{source}: expected at least {_MIN_BYTES} bytes, got {len(pepper)}"
        raise StorageError(message)
    return pepper
