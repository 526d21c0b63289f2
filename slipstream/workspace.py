"""The gateway's services over one state folder and database, as its administrator uses them."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from gateway.auth.keys import KeyHasher
from gateway.auth.pepper import load_pepper
from gateway.auth.profiles import administrator
from gateway.auth.service import ApiKeyService
from gateway.deployments.service import DeploymentService
from gateway.fleet.service import FleetService
from gateway.fleet.store import FleetStore
from gateway.flows.service import FlowService
from gateway.models.service import ModelService
from gateway.settings import Settings
from gateway.storage.database import Database
from gateway.storage.migrate import migrate
from gateway.storage.tables import Profile
from model_store.store import Store
from model_store.verification import Verifier
from slipstream.failures import UnusableError


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """What commands act on. The same rows and files that running gateways use, or will use."""

    settings: Settings
    db: Database
    profile: Profile
    """The administrator: the command line acts for nobody else."""
    store: Store
    verifier: Verifier
    models: ModelService
    keys: ApiKeyService
    flows: FlowService
    deployments: DeploymentService
    fleet: FleetService


@asynccontextmanager
async def open_workspace(settings: Settings) -> AsyncIterator[Workspace]:
    """Bring the database up to date and open it; close it in the end.

    Raises:
        StorageError: the database or the state folder cannot be used.
    """
    await migrate(settings.database)
    db = Database(settings.database)
    try:
        yield await _compose(settings, db)
    finally:
        await db.close()


def read_settings(**options: Any) -> Settings:
    """Return the settings of the environment, with `options` in their place.

    Any: the settings' own types check what comes; UnusableError says what they refuse.
    """
    try:
        return Settings(**options)
    except ValidationError as error:
        first = error.errors()[0]
        name = "_".join(str(part) for part in first["loc"]).upper()
        raise UnusableError(f"SLIPSTREAM_{name}: {first['msg']}, got {first['input']!r}") from None


def make_verifier() -> Verifier:
    """Return what looks at model files before they are published."""
    return Verifier([sys.executable, "-m", "inference_server.runtime.verify"])


async def _compose(settings: Settings, db: Database) -> Workspace:
    store = Store(settings.models)
    verifier = make_verifier()
    models = ModelService(db, store, verifier)
    keys = ApiKeyService(db, KeyHasher(load_pepper(settings.key_pepper, settings.state)))
    flows = FlowService(db)
    return Workspace(
        settings=settings,
        db=db,
        profile=await administrator(db),
        store=store,
        verifier=verifier,
        models=models,
        keys=keys,
        flows=flows,
        deployments=DeploymentService(db, keys, models),
        fleet=FleetService(FleetStore(db), models, flows),
    )
