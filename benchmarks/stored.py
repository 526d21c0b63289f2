"""What a call pays for deployments and models that are only stored.

The bar: with 100,000 more deployments, each with a key, and 10,000 more models, p50 of fast calls
and of sync runs is within 1.2 times that with one of each.

    python -m benchmarks.stored
    python -m benchmarks.stored --deployments 1000 --models 100

Rows and model folders are copied into the database and the store while nothing runs. Then pages of
lists and a start are measured, too, which have no bar.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from uuid import uuid4

from sqlalchemy import insert, select

from benchmarks.calls import FLOW, get_call, json_call
from benchmarks.installation import ONE_THREAD, Installation, inference_flow
from benchmarks.load import p50_us
from benchmarks.models import OnnxModel, tiny_model
from benchmarks.scenario import Context, Findings, at_most, positive, run_scenario
from gateway.ids import new_id
from gateway.storage.database import Database
from gateway.storage.tables import ApiKey, Deployment, DeploymentVersion, Model, Table
from model_store.manifest import Manifest
from model_store.names import MANIFEST_FILE

OPTIONS = {
    "--deployments": {"type": positive, "default": 100_000, "help": "(%(default)s)"},
    "--models": {"type": positive, "default": 10_000, "help": "(%(default)s)"},
    "--seconds": {"type": positive, "default": 3, "help": "of calls in a round (%(default)s)"},
    "--rounds": {"type": positive, "default": 5, "help": "(%(default)s)"},
}
_MAX_RATIO = 1.2
_INSERT_ROWS = 2_000
_NAME = "tiny"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What was measured with so many of each."""

    deployments: int
    models: int
    fast_us: float
    sync_us: float
    deployments_us: float
    """The first page of the list."""
    models_us: float
    """The same of models."""
    start_seconds: float


def measure(context: Context) -> Findings:
    """Measure with few, copy, and measure again."""
    options = context.options
    model = tiny_model(context.folder)
    folder = context.folder / "installation"
    settings = {**ONE_THREAD, "SLIPSTREAM_NO_DEMO": "1", "SLIPSTREAM_WORKER_CONCURRENCY": "0"}
    with Installation(folder, model, settings) as installation:
        fast = installation.deploy_model(_NAME, model.path)
        sync = installation.deploy(
            inference_flow(_NAME), execution_mode="sync", deployment_type="server"
        )
    paths = (fast, sync)
    few = _measure(folder, model, settings, paths, context)
    context.say(f"copying {options.deployments:,} deployments and {options.models:,} models")
    asyncio.run(_copy_rows(folder / "state" / "slipstream.db", options.deployments, options.models))
    _copy_models(folder / "state" / "models", options.models)
    many = _measure(folder, model, settings, paths, context)
    many = replace(many, deployments=options.deployments, models=options.models)
    return Findings(
        headings=(
            *("deployments", "models", "fast µs", "sync µs"),
            *("deployments page µs", "models page µs", "start s"),
        ),
        rows=[_cells(each) for each in (few, many)],
        bars=[
            at_most(
                "fast, p50 with many stored / with few", _MAX_RATIO, many.fast_us / few.fast_us
            ),
            at_most(
                "sync, p50 with many stored / with few", _MAX_RATIO, many.sync_us / few.sync_us
            ),
        ],
        figures=[few, many],
        notes=("p50, one caller, SQLite; pages of 50",),
    )


def _measure(
    folder: Path,
    model: OnnxModel,
    settings: dict[str, str],
    paths: tuple[str, str],
    context: Context,
) -> Figures:
    options = context.options
    began = time.perf_counter()
    with Installation(folder, model, settings) as installation:
        started = time.perf_counter()
        while not installation.is_ready(_NAME):
            time.sleep(0.02)
        fast, sync = (json_call(FLOW, model, path, installation.headers) for path in paths)
        pages = [
            get_call(path, installation.headers) for path in ("/node/deployments/", "/node/models/")
        ]
        found = []
        for call in (fast, sync, *pages):
            context.say(f"calls of {call.path}")
            installation.server.check(call)
            rounds = range(options.rounds)
            found.append(median(p50_us([call], installation.port, options.seconds) for _ in rounds))
    return Figures(
        deployments=2,
        models=1,
        fast_us=found[0],
        sync_us=found[1],
        deployments_us=found[2],
        models_us=found[3],
        start_seconds=started - began,
    )


async def _copy_rows(database: Path, deployments: int, models: int) -> None:
    """Copy a deployment with its version and a key, and the row of a model."""
    db = Database(f"sqlite+aiosqlite:///{database}")
    try:
        async with db.read() as session:

            async def first(table: type[Table]) -> dict[str, object]:
                rows = (await session.execute(select(table.__table__).limit(1))).mappings()
                return dict(rows.one())

            deployment, version = await first(Deployment), await first(DeploymentVersion)
            key, model = await first(ApiKey), await first(Model)
        for size in _parts(deployments):
            ids = [new_id() for _ in range(size)]
            async with db.write() as session:
                await session.execute(insert(Deployment), [{**deployment, "id": i} for i in ids])
                versions = [{**version, "deployment_id": i} for i in ids]
                await session.execute(insert(DeploymentVersion), versions)
                keys = [
                    {**key, "id": new_id(), "hash": uuid4().hex, "scope": "trigger"}
                    | {"deployments": [i]}
                    for i in ids
                ]
                await session.execute(insert(ApiKey), keys)
        for number, size in enumerate(_parts(models)):
            names = [_name(number * _INSERT_ROWS + at) for at in range(size)]
            async with db.write() as session:
                await session.execute(insert(Model), [{**model, "name": name} for name in names])
    finally:
        await db.close()


def _parts(count: int) -> Iterator[int]:
    for first in range(0, count, _INSERT_ROWS):
        yield min(_INSERT_ROWS, count - first)


def _name(number: int) -> str:
    return f"stored-{number}"


def _copy_models(store: Path, count: int) -> None:
    """Copy the folder of a version, its files as links."""
    source = store / _NAME / "1"
    manifest = Manifest.from_json((source / MANIFEST_FILE).read_bytes())
    for number in range(count):
        folder = store / _name(number) / "1"
        shutil.copytree(source, folder, copy_function=_link)
        (folder / MANIFEST_FILE).unlink()
        named = replace(manifest, name=_name(number))
        (folder / MANIFEST_FILE).write_bytes(named.to_json())


def _link(source: str, target: str) -> str:
    Path(target).hardlink_to(source)
    return target


def _cells(found: Figures) -> tuple[str, ...]:
    return (
        f"{found.deployments:,}",
        f"{found.models:,}",
        f"{found.fast_us:,.0f}",
        f"{found.sync_us:,.0f}",
        f"{found.deployments_us:,.0f}",
        f"{found.models_us:,.0f}",
        f"{found.start_seconds:.1f}",
    )


if __name__ == "__main__":
    sys.exit(run_scenario(__doc__, measure, OPTIONS))
