"""The gateway's services over one state folder and database, as its administrator uses them."""

from __future__ import annotations

import os
import pwd
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from gateway.auth.profiles import ensure_owner
from gateway.broker.broker import Broker, BrokerError, parse_broker_url
from gateway.services import Services
from gateway.settings import Settings
from gateway.storage.audit_events import ACTOR, Actor
from gateway.storage.database import Database
from gateway.storage.migrate import migrate
from gateway.storage.tables import Profile
from slipstream.failures import UnusableError


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """What commands act on: the rows and files that running gateways use, or will use."""

    settings: Settings
    db: Database
    services: Services
    profile: Profile
    """The administrator: the command line acts for nobody else."""


@asynccontextmanager
async def open_workspace(settings: Settings) -> AsyncIterator[Workspace]:
    """Bring the database up to date and open it; close it in the end.

    Raises:
        StorageError: the database or the state folder cannot be used.
    """
    await migrate(settings.database)
    db = Database(settings.database)
    try:
        services = Services(settings, db)
        profile = await ensure_owner(db)
        ACTOR.set(Actor(profile_id=profile.id, system_user=_system_user()))
        yield Workspace(settings=settings, db=db, services=services, profile=profile)
    finally:
        await db.close()


def read_settings(**options: Any) -> Settings:
    """Return the settings of the environment, with `options` in their place.

    Any: the settings' own types check what comes; UnusableError says what they refuse.
    """
    try:
        settings = Settings(**options)
        broker_of(settings)
    except BrokerError as error:
        raise UnusableError(str(error)) from None
    except ValidationError as error:
        first = error.errors()[0]
        name = "_".join(str(part) for part in first["loc"]).upper()
        raise UnusableError(f"SLIPSTREAM_{name}: {first['msg']}, got {first['input']!r}") from None
    return settings


def broker_of(settings: Settings) -> Broker:
    """Return the broker that the settings mean, or raise BrokerError."""
    return parse_broker_url(
        settings.broker_url, folder=settings.broker_folder, prefix=settings.queue_prefix
    )


def _system_user() -> str:
    """Return the operating system's user: the process's, whatever the environment says."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # as in a container that runs under any number
        return f"uid {os.getuid()}"
