"""Looks up what advice about a deployment is based on."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.deployments import store
from gateway.deployments.advice import Advice, advise
from gateway.deployments.fast_plan import FastPlan, find_plan
from gateway.deployments.live_deployment import read_pins
from gateway.flows.spec import parse_flow
from gateway.storage.database import Database
from gateway.usage.service import UsageQuery, UsageService


class AdviceService:
    """Advice about the deployments of a profile."""

    def __init__(self, db: Database, usage: UsageService) -> None:
        self._db = db
        self._usage = usage

    async def advice(self, profile_id: str, deployment_id: str) -> Sequence[Advice]:
        """Return advice by the calls of the last 24 hours; raise NOT_FOUND or GONE."""
        async with self._db.read() as session:
            row = await store.find_deployment(session, profile_id, deployment_id)
            version = await store.live_version(session, row)
        report = await self._usage.for_profile(profile_id, UsageQuery(deployment_id=row.id))
        plan = find_plan(parse_flow(version.definition), read_pins(version))
        return list(advise(row, report.total(), fits_fast=isinstance(plan, FastPlan)))
