"""Whether a version takes an input that another one has taken before."""

from __future__ import annotations

import orjson

from gateway.errors import GatewayError
from gateway.flows.plan import compile_plan
from gateway.flows.spec import parse_flow
from gateway.storage.database import Database
from gateway.storage.tables import DeploymentVersion
from protos.errors import ErrorCode


class Inputs:
    """Checks what is to be run once more, before anybody is told that it will be."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def check(self, deployment_id: str, version: int, input_data: bytes) -> None:
        """Return where the version takes `input_data`, which is JSON.

        Raises:
            GatewayError: INVALID_INPUT with all that is wrong, each with its pointer; GONE where
                the version is no more; INVALID_FLOW where it does not compile any more.
        """
        async with self._db.read() as session:
            row = await session.get(DeploymentVersion, (deployment_id, version))
        if row is None:
            message = f"version {version} of deployment '{deployment_id}' is no more"
            raise GatewayError(ErrorCode.GONE, message)
        plan = compile_plan(parse_flow(row.definition))
        try:
            plan.check_input(orjson.loads(input_data))
        except GatewayError as error:
            message = f"version {version} does not take this run's input: {error.message}"
            raise GatewayError(error.code, message, errors=error.errors) from error
