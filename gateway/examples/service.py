"""Finds out what example code has to know of a deployment, and has it written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from gateway.auth import store as key_store
from gateway.auth.keys import mask
from gateway.auth.lifetime import KeyState, state_at
from gateway.deployments import store
from gateway.deployments.fast_plan import FastPlan, find_plan
from gateway.deployments.input_schema import describe_input
from gateway.deployments.live_deployment import read_pins
from gateway.deployments.settings import ExecutionMode, NotificationMethod, ResponseFormat
from gateway.examples.call_target import CallTarget, GrpcInput, GrpcTarget
from gateway.examples.choices import ExampleChoices
from gateway.examples.exports import DeploymentExportFormat, Export, write_export
from gateway.examples.generator import ExampleSet, write_examples
from gateway.flows.spec import parse_flow
from gateway.settings import Settings
from gateway.storage.clock import now
from gateway.storage.database import Database
from gateway.storage.tables import ApiKey, Deployment, DeploymentVersion

Written = TypeVar("Written")

_DEFAULT_INPUT = {"param1": "value1"}
"""As in the documentation: for flows without test data."""


class ExampleService:
    """The example code of a profile's deployments."""

    def __init__(self, db: Database, settings: Settings) -> None:
        self._db = db
        self._grpc_address = settings.public_grpc_address
        self._uses_tls = settings.tls_certificate is not None
        self._turn = asyncio.Lock()

    async def examples(
        self,
        profile_id: str,
        deployment_id: str,
        choices: ExampleChoices,
        *,
        url: str,
    ) -> ExampleSet:
        """Write the examples of a deployment, which call the gateway at `url`.

        Raises:
            GatewayError: NOT_FOUND for the deployment or the version, GONE; INVALID_FLOW if the
                version no longer compiles.
        """
        return await self._written(profile_id, deployment_id, choices, url, write_examples)

    async def export(
        self,
        profile_id: str,
        deployment_id: str,
        form: DeploymentExportFormat,
        *,
        version: int | None = None,
        url: str,
    ) -> Export:
        """Write a deployment as a file for another program; with the errors of `examples`."""

        def write(target: CallTarget, choices: ExampleChoices) -> Export:
            return write_export(target, choices, form)

        choices = ExampleChoices(version=version)
        return await self._written(profile_id, deployment_id, choices, url, write)

    async def _written(
        self,
        profile_id: str,
        deployment_id: str,
        choices: ExampleChoices,
        url: str,
        write: Callable[[CallTarget, ExampleChoices], Written],
    ) -> Written:
        async with self._db.read() as session:
            row = await store.find_deployment(session, profile_id, deployment_id)
            number = row.live_version if choices.version is None else choices.version
            version = await store.find_version(session, row, number)
            keys = await key_store.trigger_keys(session, profile_id)

        def work() -> Written:
            return write(self._target(row, version, keys, choices, url), choices)

        async with self._turn:  # else threads would take the interpreter's lock from the event loop
            return await asyncio.to_thread(work)

    def _target(
        self,
        row: Deployment,
        version: DeploymentVersion,
        keys: list[ApiKey],
        choices: ExampleChoices,
        url: str,
    ) -> CallTarget:
        expected = describe_input(version.definition, read_pins(version))
        example = expected.example if choices.input_data is None else dict(choices.input_data)
        plan = _fast_plan(version)
        mode = ExecutionMode(row.execution_mode)
        outputs = None
        if mode is ExecutionMode.FAST and isinstance(plan, FastPlan):
            outputs = [(output.field, output.spec) for output in plan.outputs]
        return CallTarget(
            base_url=url,
            deployment_id=row.id,
            name=row.name,
            mode=mode,
            response_format=ResponseFormat(row.response_format),
            timeout_seconds=row.timeout_seconds,
            requires_idempotency_key=row.require_idempotency_key,
            has_webhook=row.notification_method == NotificationMethod.WEBHOOK,
            input_data=_DEFAULT_INPUT if example is None else example,
            input_schema=expected.schema,
            output_tensors=outputs,
            key_mask=_mask_of(keys, row.id),
            grpc=self._grpc(plan, keys),
        )

    def _grpc(self, plan: FastPlan | str, keys: list[ApiKey]) -> GrpcTarget | str:
        if isinstance(plan, str):
            return plan
        return GrpcTarget(
            address=self._grpc_address,
            uses_tls=self._uses_tls,
            model=plan.model,
            version=plan.version,
            inputs=[GrpcInput(name=one.name, path=one.path, spec=one.spec) for one in plan.inputs],
            outputs=[one.name for one in plan.outputs],
            key_mask=_mask_of([key for key in keys if key.deployments is None], ""),
        )


def _fast_plan(version: DeploymentVersion) -> FastPlan | str:
    """Return how the only model of a flow is called, or why gRPC cannot do what the flow does."""
    plan = find_plan(parse_flow(version.definition), read_pins(version))
    if isinstance(plan, str):
        return f"gRPC calls one model, and the flow is more than that: {plan}"
    return plan


def _mask_of(keys: list[ApiKey], deployment_id: str) -> str | None:
    """Return the mask of the newest active key that covers a deployment, its own keys first."""
    moment = now()
    active = [key for key in keys if state_at(key, moment) is KeyState.ACTIVE]
    own = [key for key in active if key.deployments and deployment_id in key.deployments]
    found = own or [key for key in active if key.deployments is None]
    if not found:
        return None
    newest = max(found, key=lambda key: (key.created_at, key.id))
    return mask(newest.display_prefix, newest.display_suffix)
