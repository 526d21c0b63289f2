"""The user of the page by REST, whose deployments are called by their keys."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

from tests.console.editing import Owner


class Caller(Owner):
    """The user of the page by REST, whose deployments are called by their keys.

    Any, throughout: JSON.
    """

    def make_rules(self, fields: dict[str, str], test_data: dict[str, Any], **schema: Any) -> str:
        """Save a flow without a model whose outputs are expressions; return its id."""
        return str(self.ask("POST", "/node/flows/", rules_flow(fields, test_data, schema))["id"])

    def change_rules(
        self, flow_id: str, fields: dict[str, str], test_data: dict[str, Any], **schema: Any
    ) -> None:
        """Replace a flow's draft."""
        self.ask("PATCH", f"/node/flows/{flow_id}/", rules_flow(fields, test_data, schema))

    def deploy_with_key(self, flow_id: str, **settings: Any) -> Any:
        """Deploy a flow; return the answer."""
        body = {"flow_id": flow_id, "deployment_type": "server", "api_key": "new", **settings}
        return self.ask("POST", "/node/deployments/", body)

    def call_by_key(self, made: Any, given: dict[str, Any]) -> httpx.Response:
        """Call a deployment by its key, as a program does."""
        return httpx.post(
            self.url + made["trigger_path"],
            json={"input_data": given},
            headers={"X-API-Key": made["api_key"]["key"]},
            timeout=30,
        )


def rules_flow(fields: dict[str, str], test_data: dict[str, Any], schema: Any) -> Any:
    """Return a flow without a model whose outputs are expressions."""
    given = {"test_data": test_data, **({"schema": schema} if schema else {})}
    return {
        "name": "Rules",
        "nodes": [
            {"id": "input", "type": "api_input", "config": given},
            {"id": "output", "type": "api_output", "config": {"fields": fields}},
        ],
        "edges": [{"source": "input", "target": "output"}],
    }


def until_answered(
    owner: Caller, made: Any, given: dict[str, Any], expected: dict[str, Any]
) -> None:
    """Call until the output is as expected: gateways learn of a change within 0.3 s."""
    for _ in range(50):
        answer = owner.call_by_key(made, given).json()
        if answer.get("output_data") == expected:
            return
        time.sleep(0.1)
    pytest.fail(f"expected the output {expected}, got {answer}")
