"""What becomes of rows that earlier versions of Slipstream have written."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import JSON, Connection, column, select, table, text, update

from gateway.auth.key_authenticator import KeyAuthenticator
from gateway.auth.keys import KeyHasher, generate_key
from gateway.auth.model_access import Visibility
from gateway.auth.pepper import load_pepper, pepper_problem
from gateway.auth.profiles import ensure_owner
from gateway.deployments.deployment_cache import DeploymentCache
from gateway.deployments.settings import NotificationMethod
from gateway.fleet.store import FleetStore
from gateway.services import Services
from gateway.settings import Settings
from gateway.storage.change_feed import ChangeFeed
from gateway.storage.database import Database, create_engine, parse_url, with_immediate_transactions
from gateway.storage.migrate import migrate
from gateway.storage.paging import PageRequest
from gateway.storage.schema_version import MIGRATIONS
from gateway.storage.tables import Deployment, Profile, UtcTime
from gateway.storage.user_storage import StorageKind
from gateway.storage.webhook_tables import WebhookDelivery, WebhookEndpoint
from tests.gateway.databases import PostgresDatabase
from tests.gateway.in_process_gateway import HERE, flow_json
from tests.gateway.storage.test_user_storage import counted, in_rows

PROFILE, FLOW, DEPLOYMENT, KEY = (f"{at * 8}-0000-4000-8000-000000000000" for at in "1234")
THEN = datetime(2026, 1, 2, 3, 4, 5, 6, UTC)
SCHEMA = {"type": "object", "required": ["x"]}


@pytest.fixture(params=["sqlite", "postgresql"])
async def first_tables(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    """The URL of a database with the tables of the first version."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/old.db"
        await _migrate_to(url, "0001")
        yield url
        return
    database = PostgresDatabase()
    await asyncio.to_thread(database.create)
    try:
        await _migrate_to(database.url, "0001")
        yield database.url
    finally:
        await asyncio.to_thread(database.drop)


async def _migrate_to(url: str, revision: str) -> None:
    def upgrade(connection: Connection) -> None:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, revision)

    engine = with_immediate_transactions(create_engine(parse_url(url)))
    async with engine.connect() as connection:
        await connection.run_sync(upgrade)
        await connection.commit()
    await engine.dispose()


# Any, here and below: what the columns of that time took
async def _insert(db: Database, name: str, /, **values: Any) -> None:
    columns = [column(field, _type(value)) for field, value in values.items()]
    async with db.write() as session:
        await session.execute(table(name, *columns).insert().values(values))


def _type(value: object) -> Any:
    if isinstance(value, datetime):
        return UtcTime()
    return JSON() if isinstance(value, dict | list) else None


async def _write_first_key(db: Database, digest: bytes) -> None:
    await _insert(
        db,
        "api_keys",
        id=KEY,
        profile_id=PROFILE,
        name="Old key",
        scope="trigger",
        hash=digest.hex(),
        display_prefix="sk-EuT64",
        display_suffix="vsQa1",
        state="active",
        created_at=THEN,
    )


async def _write_first_rows(db: Database, flow: dict[str, Any]) -> None:
    definition = {"nodes": flow["nodes"], "edges": flow["edges"]}
    await _insert(
        db, "profiles", id=PROFILE, email="ada@example.com", role="admin", created_at=THEN
    )
    await _insert(
        db,
        "flows",
        id=FLOW,
        profile_id=PROFILE,
        name="Old",
        definition=definition,
        created_at=THEN,
        updated_at=THEN,
    )
    await _insert(
        db,
        "deployments",
        id=DEPLOYMENT,
        profile_id=PROFILE,
        flow_id=FLOW,
        name="Old Deployment",
        execution_mode="sync",
        deployment_type="api",
        timeout_seconds=7,
        notification_method="none",
        webhook_events=["run.failed"],
        response_format="envelope",
        live_version=2,
        status="active",
        created_at=THEN,
        updated_at=THEN,
    )
    for version, graph in ((1, {"nodes": [flow["nodes"][1]], "edges": []}), (2, definition)):
        await _insert(
            db,
            "deployment_versions",
            deployment_id=DEPLOYMENT,
            version=version,
            definition=graph,
            models={},
            created_at=THEN,
        )


async def test_what_users_had_stored_is_counted(first_tables: str) -> None:
    db = Database(first_tables)
    await _write_first_rows(db, flow_json())
    await _write_first_key(db, b"digest")
    await migrate(first_tables)
    found = await counted(db, PROFILE)
    assert found == await in_rows(db, PROFILE)
    assert [found[kind].number for kind in StorageKind] == [1, 2, 1, 1, 0]
    await db.close()


async def test_deployments_of_the_first_schema_stay_as_they_were(
    first_tables: str, tmp_path: Path
) -> None:
    flow = flow_json()
    flow["nodes"][0]["config"]["schema"] = SCHEMA
    db = Database(first_tables)
    await _write_first_rows(db, flow)
    await migrate(first_tables)
    services = Services(Settings(state=tmp_path / "state", database_url=first_tables), db)

    deployed = await services.deployments.get(PROFILE, DEPLOYMENT)
    row = deployed.row
    assert (row.timeout_seconds, row.response_format, row.live_version) == (7, "envelope", 2)
    assert row.non_finite == "string"
    assert (row.queue_timeout_seconds, row.cold_start_wait_seconds) == (None, 20)
    assert (row.on_timeout, row.record_runs, row.record_sample) == ("stop", "sample", 1.0)
    assert (row.include_node_outputs, row.retry_safe, row.require_idempotency_key) == (
        True,
        False,
        False,
    )
    assert (deployed.newest_version, deployed.draft_differs) == (2, False)

    page = await services.versions.page(PROFILE, DEPLOYMENT, PageRequest())
    assert [(each.row.version, each.live) for each in page.items] == [(2, True), (1, False)]
    assert [each.row.input_schema for each in page.items] == [SCHEMA, None]
    assert {each.row.created_by for each in page.items} == {PROFILE}
    assert {each.row.created_at for each in page.items} == {THEN}

    live = await DeploymentCache(db, ChangeFeed(db)).find(DEPLOYMENT, PROFILE)
    assert (live.version, live.timeout_seconds) == (2, 7)
    await db.close()


async def test_the_administrator_of_the_first_tables_becomes_an_owner(first_tables: str) -> None:
    db = Database(first_tables)
    await _write_first_rows(db, flow_json())
    await migrate(first_tables)
    found = await ensure_owner(db)
    assert (found.id, found.role, found.state, found.password_hash) == (
        PROFILE,
        "owner",
        "active",
        None,
    )
    await db.close()


async def test_keys_of_the_first_schema_stay_valid(first_tables: str, tmp_path: Path) -> None:
    plain = generate_key()
    settings = Settings(state=tmp_path / "state", database_url=first_tables)
    hasher = KeyHasher(load_pepper(None, settings.state))
    db = Database(first_tables)
    await _write_first_rows(db, flow_json())
    await _write_first_key(db, hasher.digest(plain))
    await migrate(first_tables)

    authenticator = KeyAuthenticator(db, hasher, ChangeFeed(db))
    assert (await authenticator.authenticate(plain, HERE)).key_id == KEY
    await authenticator.usage.flush()
    known = await Services(settings, db).keys.get(PROFILE, KEY)
    assert (known.row.total_uses, known.row.uses_since_rotation) == (1, 0)
    assert known.row.last_address == HERE
    assert known.row.expires_at is known.row.environment is known.row.replaced_by is None
    assert [warning.code for warning in known.warnings] == ["old"]
    await db.close()


async def test_a_deployment_keeps_the_order_of_its_rollouts(first_tables: str) -> None:
    db = Database(first_tables)
    await _write_first_rows(db, flow_json())
    await _migrate_to(first_tables, "0014")
    old = table("deployments", column("turns"), column("live_turn"))
    async with db.write() as session:
        await session.execute(old.update().values(turns=7, live_turn=5))
    await migrate(first_tables)
    async with db.read() as session:
        row = await session.get_one(Deployment, DEPLOYMENT)
    assert (row.rollout_seq, row.live_rollout_seq) == (7, 5)
    await db.close()


async def test_a_webhook_without_a_secret_is_off_until_it_is_turned_on(
    first_tables: str, tmp_path: Path
) -> None:
    url = "https://8.8.8.8/hooks"
    db = Database(first_tables)
    await _write_first_rows(db, flow_json())
    async with db.write() as session:
        notifying = {"notification_method": "webhook", "callback_url": url}
        await session.execute(update(Deployment).values(notifying))
    await migrate(first_tables)
    services = Services(Settings(state=tmp_path / "state", database_url=first_tables), db)
    row = (await services.deployments.get(PROFILE, DEPLOYMENT)).row
    assert (row.notification_method, row.callback_url) == ("none", url)
    turned_on = await services.deployments.change(
        PROFILE, DEPLOYMENT, notification_method=NotificationMethod.WEBHOOK
    )
    assert (turned_on.webhook_secret or "").startswith("whsec_")
    await db.close()


async def test_pending_webhooks_of_deleted_users_are_cancelled(
    first_tables: str,
) -> None:
    db = Database(first_tables)
    await _migrate_to(first_tables, "0012")
    await _insert(
        db,
        "webhook_endpoints",
        id=KEY,
        created_at=THEN,
        profile_id=PROFILE,
        deployment_id=DEPLOYMENT,
        secret=b"sealed",
        state="enabled",
        failures=0,
    )
    await _insert(
        db,
        "webhook_deliveries",
        id=FLOW,
        created_at=THEN,
        message_id="msg_1",
        profile_id=PROFILE,
        endpoint_id=KEY,
        deployment_id=DEPLOYMENT,
        event="run.failed",
        payload=b"{}",
        status="pending",
        due_at=THEN,
        attempts=1,
        failures=1,
    )
    await migrate(first_tables)
    async with db.read() as session:
        delivery = (await session.execute(select(WebhookDelivery))).scalar_one()
        assert (delivery.status, delivery.due_at) == ("cancelled", None)
        assert (await session.execute(select(WebhookEndpoint))).all() == []
    await db.close()


async def test_models_of_earlier_versions_are_shared_and_belong_to_the_installation(
    first_tables: str, model_store_dir: Path, tmp_path: Path
) -> None:
    shutil.copytree(model_store_dir, tmp_path / "state" / "models")
    db = Database(first_tables)
    await _write_first_rows(db, flow_json())
    await _insert(db, "profiles", id=KEY, email="eve@example.com", role="member", created_at=THEN)
    await _migrate_to(first_tables, "0016")
    await migrate(first_tables)
    services = Services(Settings(state=tmp_path / "state", database_url=first_tables), db)
    page = await services.models.page(KEY, PageRequest())
    assert {(model.name, model.visibility, model.owner_id) for model in page.items} == {
        (name, "shared", None) for name in ("mlp", "scaled")
    }
    await services.models.change(PROFILE, "mlp", visibility=Visibility.PRIVATE)
    assert [each.name for each in (await services.models.page(KEY, PageRequest())).items] == [
        "scaled"
    ]
    await db.close()


async def test_the_process_of_a_server_is_its_first_replica(first_tables: str) -> None:
    await _migrate_to(first_tables, "0021")
    db = Database(first_tables)
    seen = {"state": "ready", "pid": 7, "address": "unix:/a.sock", "restarts": 2, "ready_at": THEN}
    wanted = {"model": "mlp", "version": 3, "desired": "running", "generation": 4}
    times = {"created_at": THEN, "updated_at": THEN}
    await _insert(db, "inference_servers", id=FLOW, **wanted, **seen, **times)
    await migrate(first_tables)
    (server,) = await FleetStore(db).all()
    (replica,) = server.replicas
    assert (server.id, server.generation, server.state, server.restarts) == (FLOW, 4, "ready", 2)
    assert (replica.id, replica.slot) == (FLOW, 0), "by that id, a reload passes the process on"
    assert (replica.pid, replica.address, replica.ready_at) == (7, "unix:/a.sock", THEN)
    await db.close()


async def test_the_pepper_of_the_host_that_was_last_alive_is_that_of_the_database(
    first_tables: str, tmp_path: Path
) -> None:
    await _migrate_to(first_tables, "0038")
    db = Database(first_tables)
    peppers = ("a pepper of the past", "the pepper of the present", None)
    for number, pepper in enumerate(peppers):
        digest = pepper and KeyHasher(pepper.encode()).digest("the pepper of a host").hex()
        await _insert(
            db,
            "hosts",
            id=f"host-{number}",
            name="a",
            owner=f"owner-{number}",
            token=number,
            lease_until=THEN.replace(hour=number),
            joined=True,
            pepper_digest=digest,
            created_at=THEN,
        )
    await migrate(first_tables)
    assert await pepper_problem(db, peppers[1], tmp_path) is None
    assert await pepper_problem(db, peppers[0], tmp_path) is not None
    await db.close()


async def test_what_users_had_has_readable_addresses(first_tables: str) -> None:
    db = Database(first_tables)
    await _write_first_rows(db, flow_json())
    await _migrate_to(first_tables, "0045")
    users = ("ada@example.org", "Ada@example.net", "ADA-2@example.com", "@example.com", f"{KEY}@a")
    profile_ids = [f"{number:08}-0000-4000-8000-000000000000" for number in range(len(users))]
    for number, (profile_id, email) in enumerate(zip(profile_ids, users, strict=True)):
        made = {"role": "member", "state": "active", "created_at": THEN.replace(hour=5 + number)}
        await _insert(db, "profiles", id=profile_id, email=email, **made)
    async with db.read() as session:
        first = await session.execute(text("SELECT * FROM deployments"))
        row = dict(first.mappings().one())
    names = ("Old deployment", "old  Déployment!", "Old Deployment 2", "日本", KEY, "Presets")
    for number, name in enumerate(names):
        await _insert_copy(db, row, number, name=name, status="active")
    await _insert_copy(db, row, 98, name="Old Deployment", status="deleted")
    await _insert_copy(db, row, 99, name="Old", status="active", profile_id=profile_ids[0])
    await migrate(first_tables)
    async with db.read() as session:
        profiles = select(Profile.handle).order_by(Profile.created_at)
        handles = list((await session.execute(profiles)).scalars())
        deployments = select(Deployment.slug).order_by(Deployment.created_at, Deployment.id)
        slugs = list((await session.execute(deployments)).scalars())
    assert handles == ["ada", "ada-2", "ada-3", "ada-2-2", "user", f"user-{KEY}"[:39].rstrip("-")]
    own = ("old-deployment", "old-deployment-2", "old-deployment-3", "old-deployment-2-2")
    others = ("deployment", f"deployment-{KEY}", "deployment-presets")
    assert slugs == [*own, *others, "old-deployment", "old"]
    cache = DeploymentCache(db, ChangeFeed(db))
    assert (await cache.find("ada/old-deployment", PROFILE)).id == DEPLOYMENT
    await db.close()


async def _insert_copy(db: Database, row: dict[str, Any], number: int, **changes: Any) -> None:
    """Insert another deployment like the one in `row`, some minutes later."""
    values = {**row, "id": f"{number:08}-1111-4000-8000-000000000000", **changes}
    moment = THEN.replace(hour=4 + number // 60, minute=number % 60)
    await _insert(db, "deployments", **values | {"created_at": moment})
