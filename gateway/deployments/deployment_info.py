"""The names of deployments for Prometheus: series have their ids."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from gateway.deployments.settings import DeploymentStatus
from gateway.errors import DatabaseAwayError
from gateway.metrics import DEPLOYMENT_LABEL
from gateway.storage.database import Database
from gateway.storage.failures import log_failure
from gateway.storage.tables import Deployment
from telemetry.logs import logger

_READ_SECONDS = 2.0
"""For the names: the other metrics say what is wrong with a database that does not answer."""

log = logger("gateway.deployments")


class DeploymentInfo(Collector):
    """A constant for each deployment, to be joined with series by its id."""

    def __init__(self, rows: Sequence[tuple[str, ...]] = ()) -> None:
        """Show deployments by id, name, mode, type and live version."""
        self._rows = rows

    def collect(self) -> Iterator[Metric]:
        """Yield the constants."""
        info = GaugeMetricFamily(
            "deployment_info",
            "1, with the name, mode, type and live version of the deployment as labels.",
            labels=(DEPLOYMENT_LABEL, "name", "mode", "type", "version"),
        )
        for row in self._rows:
            info.add_metric(row, 1.0)
        yield info


async def read_deployment_info(db: Database, *, max_series: int) -> DeploymentInfo:
    """Read the newest `max_series` deployments; none while the database does not answer."""
    statement = (
        select(
            Deployment.id,
            Deployment.name,
            Deployment.execution_mode,
            Deployment.deployment_type,
            Deployment.live_version,
        )
        .where(Deployment.status != DeploymentStatus.DELETED)
        .order_by(Deployment.created_at.desc())
        .limit(max_series)
    )
    try:
        async with asyncio.timeout(_READ_SECONDS), db.read() as session:
            rows = (await session.execute(statement)).all()
    except (DatabaseAwayError, SQLAlchemyError, OSError) as error:  # TimeoutError is an OSError
        log_failure(log, "deployments_not_listed", error)
        return DeploymentInfo()
    return DeploymentInfo([tuple(map(str, row)) for row in rows])
