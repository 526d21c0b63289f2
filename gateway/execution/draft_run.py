"""Runs a flow's draft once, in this process: nothing is saved, no run is recorded."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from time import monotonic
from typing import Any

import orjson

from gateway.body_parsing.parser import build_parser
from gateway.children.metrics import ChildMetrics
from gateway.deployments.input_tensors import input_tensors
from gateway.deployments.snapshots import pin_models
from gateway.execution.inference_client import PinnedModels
from gateway.execution.model_connections import ModelConnections
from gateway.flows import engine
from gateway.flows.flow_check import check_flow
from gateway.flows.plan import compile_plan
from gateway.flows.ports import Ports
from gateway.flows.processes import FlowProcesses
from gateway.flows.result import FlowResult
from gateway.models.service import ModelService
from gateway.outbound.http import GuardedHttpClient
from gateway.settings import Settings
from gateway.storage.database import Database
from telemetry.instruments import Registry

_BOOT_WAIT_SECONDS = 20.0
"""How long a node waits for a booting inference server, within the run's deadline."""


class DraftRunner:
    """Runs drafts with the engine and the checks of deployments, and the models that are served."""

    def __init__(
        self, settings: Settings, db: Database, models: ModelService, processes: FlowProcesses
    ) -> None:
        self._settings = settings
        self._db = db
        self._models = models
        self._processes = processes

    async def run(
        self,
        profile_id: str,
        definition: Mapping[str, Any],
        input_data: Mapping[str, Any] | None,
        *,
        timeout_seconds: float,
    ) -> FlowResult:
        """Run the flow `definition`; without `input_data` with the test data of its `api_input`.

        Any: JSON. HTTP nodes send requests, and Python nodes run in a child process.

        Raises:
            GatewayError: INVALID_FLOW, INVALID_INPUT and INVALID_TENSOR, as for a deployment.
            TlsError: the credentials for servers on other machines cannot be used.
        """
        evaluator = self._processes.evaluator(profile_id)
        spec = await check_flow(definition, evaluator)
        pins = await pin_models(spec, self._models, profile_id)
        plan = compile_plan(spec)
        deadline = monotonic() + timeout_seconds
        given = (plan.test_data or {}) if input_data is None else input_data
        checked = await plan.check_input(plan.selection.write(given), evaluator, deadline)
        parser = build_parser(ChildMetrics(Registry()))
        try:
            tensors = input_tensors(spec, plan, pins)
            await tensors.check(given, checked, parser, profile_id, deadline)
        finally:
            await parser.close()
        settings = self._settings
        http = GuardedHttpClient(settings.webhook_allow, allow_http=settings.webhook_allow_http)
        connections = ModelConnections(settings, self._db)
        await connections.start()
        try:
            models = PinnedModels(pins, profile_id).client(
                connections.servers, boot_wait_seconds=_BOOT_WAIT_SECONDS, caller=profile_id
            )
            return await engine.execute(
                plan,
                orjson.loads(checked),
                Ports(
                    inference=models,
                    http=http,
                    evaluator=evaluator,
                    functions=self._processes.function_caller(profile_id),
                ),
                deadline=deadline,
                cancelled=asyncio.Event(),
                max_output_bytes=settings.max_body_bytes,
            )
        finally:
            await connections.close()
            await http.close()
