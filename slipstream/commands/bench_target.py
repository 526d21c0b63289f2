"""Turns a deployment into the target of `slipstream bench`: URL, body and API key."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import orjson

from gateway.deployments.deployment_view import DeploymentView
from gateway.errors import GatewayError
from gateway.flows.node_types.api_input import ApiInput
from gateway.flows.spec import NodeType, parse_flow
from gateway.storage.tables import Deployment
from protos.errors import ErrorCode
from slipstream.bench.target import BenchTarget
from slipstream.gateway_address import serve_options
from slipstream.id_prefix import find_id
from slipstream.session import CommandSession

_KEY_NAME = "slipstream bench"


@contextmanager
def deployment_target(
    session: CommandSession, which: str, *, body: bytes | None, key: str | None
) -> Iterator[BenchTarget]:
    """Yield the call to measure; without `key`, a temporary key for this deployment is created.

    Raises:
        GatewayError: no deployment or several match, or the flow has no test data.
    """
    deployment_id = session.run(find_id(session.workspace, Deployment, which))
    deployed = session.run(session.services.deployments.get(session.profile_id, deployment_id))
    gateway = serve_options(session.workspace.settings.state)
    url = f"{gateway.url}/node/deployment-trigger/{deployed.row.id}/"
    certificate = gateway.tls_certificate
    body = body or _test_body(session, deployed)
    if key is not None:
        yield BenchTarget(url=url, body=body, key=key, certificate=certificate)
        return
    issued = session.run(
        session.services.keys.create(
            session.profile_id, name=_KEY_NAME, deployments=[deployed.row.id]
        )
    )
    # SIGTERM unwinds as Ctrl-C does, so that the key is always deleted.
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield BenchTarget(url=url, body=body, key=issued.plain, certificate=certificate)
    finally:
        signal.signal(signal.SIGTERM, previous)
        session.run(session.services.keys.delete(session.profile_id, issued.row.id))


def _test_body(session: CommandSession, deployed: DeploymentView) -> bytes:
    flow = session.run(session.services.flows.get(session.profile_id, deployed.row.flow_id))
    for node in parse_flow(flow.definition).of_type(NodeType.API_INPUT):
        if isinstance(node.config, ApiInput) and node.config.test_data is not None:
            return orjson.dumps({"input_data": node.config.test_data})
    message = f"the api_input of flow '{flow.name}' has no test_data: give a body with --data"
    raise GatewayError(ErrorCode.INVALID_FLOW, f'{message}, such as {{"input_data": {{…}}}}')
