"""What a fast call holds."""

from __future__ import annotations

import pytest

from gateway.auth.identity import Role, Scope
from gateway.fast_path.call_record import DeploymentCallRecord
from tests.gateway.in_process_gateway import deploy, flow_json
from tests.gateway.runs.builders import until
from tests.gateway.served_gateway import ServedGateway
from tests.gateway.upstream.test_servers import status
from tests.inference_server.conftest import StartServer

_MAX_ATTRIBUTES = 24
"""Of the 30 names that CPython 3.11 and later (SHARED_KEYS_MAX_SIZE) keeps within objects of one
class: some are those of calls that fail, or whose key is not in memory."""


@pytest.mark.processes
async def test_a_call_keeps_its_attributes_within_the_object(
    served_gateway: ServedGateway, shared_server: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    container = served_gateway.container
    owner = await served_gateway.user("ada@example.com", Role.OWNER)
    client = await served_gateway.key_client(owner, Scope.MANAGE)
    deployed = await deploy(client, flow_json(version="1"), execution_mode="fast")
    container.servers.apply([status(model="mlp", address=shared_server("mlp").address)])
    await until(lambda: container.servers.is_ready("mlp", 1))
    answered: list[DeploymentCallRecord] = []
    add = container.accounting.add
    monkeypatch.setattr(
        container.accounting, "add", lambda call: (add(call), answered.append(call))
    )
    url = f"/node/deployment-trigger/{deployed['id']}/"
    for _ in range(3):  # the first asks the database, the last has the same head
        answer = await client.post(url, json={"input_data": {"x": [[1, 2, 3, 4]]}})
        assert answer.status_code == 200, answer.text
    for call in answered[1:]:
        assert len(vars(call)) <= _MAX_ATTRIBUTES, vars(call).keys()
    assert len(answered) == 3
    await container.servers.close()
