"""What is attacked: an installation with the resources of a good user and of a bad one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests import onnx_models
from tests.system.flow_documents import Json, linear_flow, node, transform_flow, waiting_flow
from tests.system.installation import Installation, chain

MEMBER = "mallory@example.com"
ENDLESS = 10**15
"""Trips of a loop: years."""
_SYNC = {"execution_mode": "sync", "deployment_type": "server", "timeout_seconds": 2}
_ASYNC = {"execution_mode": "async", "deployment_type": "api", "timeout_seconds": 2}


@dataclass(frozen=True, kw_only=True)
class Target:
    """What a process of abusers is told."""

    port: int
    grpc_port: int
    key: str
    """The member's, with the scope `manage`."""
    deployments: Mapping[str, str]
    """The member's, by what they are for."""
    model: bytes
    """An ONNX file."""


@dataclass(frozen=True, kw_only=True)
class GoodUser:
    """The resources of the user that is measured, and that keeps the installation busy."""

    url: str
    key: str
    fast: str
    sync: str
    queued: str


def good_user(installation: Installation) -> GoodUser:
    """Deploy what the well-behaved clients call."""
    flow = transform_flow("input.x * 2")
    return GoodUser(
        url=installation.up.url,
        key=installation.key,
        fast=installation.deploy(chain("iris")),
        sync=installation.deploy(flow, execution_mode="sync", deployment_type="server"),
        queued=installation.deploy(flow, execution_mode="async", deployment_type="api"),
    )


def attacked(installation: Installation, folder: Path) -> Target:
    """Create a member with flows and models that do harm, and return what its clients know."""
    member = Installation(installation.up, _member_key(installation))
    loop = onnx_models.loop(folder / "loop.onnx")
    member.add_model("looping", loop)
    member.add_model("filling", onnx_models.fill(folder / "fill.onnx"))
    member.serve("looping")
    member.serve("filling")
    endless = transform_flow("round(input.x, input.d)")
    deployments = {
        "looping": member.deploy(chain("looping")),
        "filling": member.deploy(chain("filling")),
        "endless": member.deploy(endless, **_SYNC),
        "endless, queued": member.deploy(endless, **_ASYNC),
        "large": member.deploy(transform_flow("size(join(input.few, input.text))"), **_SYNC),
        "schema": member.deploy(_endless_schema(), **_SYNC),
        "any": member.deploy(_any_input(), **_SYNC),
        "any, queued": member.deploy(_any_input(), **_ASYNC),
        "waiting": member.deploy(waiting_flow(1.0), **_ASYNC | {"timeout_seconds": 30}),
    }
    member.http.close()
    return Target(
        port=installation.up.port,
        grpc_port=installation.up.grpc_port,
        key=member.key,
        deployments=deployments,
        model=loop.read_bytes(),
    )


def _member_key(installation: Installation) -> str:
    """Create a member and return a `manage` key of theirs."""
    made = installation.command("users", "create", MEMBER, "--generate")
    with httpx.Client(base_url=installation.up.url) as browser:
        login = {"email": MEMBER, "password": made["password"]}
        opened = browser.post("/node/session/", json=login)
        assert opened.is_success, opened.text
        browser.headers["X-CSRF-Token"] = opened.json()["csrf_token"]
        answer = browser.post("/node/api-keys/", json={"name": "abuse", "scope": "manage"})
        assert answer.is_success, answer.text
        key: str = answer.json()["key"]
        return key


def _endless_schema() -> Json:
    """A flow whose schema takes 2^40 checks."""
    defs: Json = {f"d{at}": {"allOf": [{"$ref": f"#/$defs/d{at + 1}"}] * 2} for at in range(40)}
    schema = {"$ref": "#/$defs/d0", "$defs": {**defs, "d40": {"type": "object"}}}
    return linear_flow(
        "Checked", node("input", "api_input", schema=schema), node("output", "api_output")
    )


def _any_input() -> Json:
    return linear_flow(
        "Anything", node("input", "api_input"), node("output", "api_output", fields={"one": "1"})
    )
