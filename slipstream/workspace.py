"""The gateway's services on a state folder and its database, for the administrator's commands."""

from __future__ import annotations

import os
import pwd
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from gateway.auth.pepper import check_pepper
from gateway.auth.profiles import ensure_owner
from gateway.broker.broker import Broker, BrokerError, parse_broker_url
from gateway.errors import StorageError
from gateway.services import Services
from gateway.settings import Settings
from gateway.storage.audit_events import ACTOR, Actor
from gateway.storage.database import Database
from gateway.storage.migrate import migrate
from gateway.storage.tables import Profile
from slipstream.failures import UnusableError, expectation
from telemetry.logs import reason_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """What commands act on: the same rows and files as running gateways."""

    settings: Settings
    db: Database
    services: Services
    profile: Profile
    """The administrator's: the command line always acts as the administrator."""


@asynccontextmanager
async def open_workspace(settings: Settings) -> AsyncIterator[Workspace]:
    """Migrate the database, open it, and close it at the end.

    Raises:
        StorageError: the database or the state folder cannot be used, or the pepper is another one.
    """
    await migrate(settings.database)
    db = Database(settings.database)
    try:
        with database_errors():
            await check_pepper(db, settings.key_pepper, settings.state)
        services = Services(settings, db)
        with database_errors():
            profile = await ensure_owner(db)
        ACTOR.set(Actor(profile_id=profile.id, system_user=_system_user()))
        try:
            yield Workspace(settings=settings, db=db, services=services, profile=profile)
        finally:
            await services.close()
    finally:
        await db.close()


@contextmanager
def database_errors() -> Iterator[None]:
    """Raise StorageError where a database that has been migrated no longer answers."""
    try:
        yield
    except (SQLAlchemyError, ConnectionError, TimeoutError) as error:
        raise StorageError(f"the database does not answer: {reason_of(error)}") from error


def read_settings(**options: Any) -> Settings:
    """Return the settings of the environment; `options` take precedence.

    Any: the settings validate the values. Raises UnusableError for invalid ones.
    """
    try:
        settings = Settings(**options)
        broker_of(settings)
    except BrokerError as error:
        raise UnusableError(str(error)) from None
    except ValidationError as error:
        first = error.errors()[0]
        if not first["loc"]:  # of all settings together, which contain secrets
            raise UnusableError(first["msg"].removeprefix("Value error, ")) from None
        name = "_".join(str(part) for part in first["loc"]).upper()
        raise UnusableError(f"SLIPSTREAM_{name}: {expectation(first)}") from None
    return settings


def broker_of(settings: Settings) -> Broker:
    """Return the broker of the settings, or raise BrokerError."""
    return parse_broker_url(
        settings.broker_url, folder=settings.broker_folder, prefix=settings.queue_prefix
    )


def _system_user() -> str:
    """Return the operating system's user of this process; the environment cannot change it."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # as in a container with an arbitrary uid
        return f"uid {os.getuid()}"
