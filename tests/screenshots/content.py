"""What the pictured installation contains: flows, deployments in every state, runs, keys."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import httpx

from tests.console.editing import EMAIL, PASSWORD

_CANARY = {"strategy": "canary", "version": 1, "weight": 20, "promote_after_seconds": 3600}
_SECONDS = 30.0
_LINK_TOKEN = "#token="


@dataclass(frozen=True)
class Content:
    """The ids that addresses of screens contain, and the session that made them."""

    ids: dict[str, str]
    session: dict[str, str]

    # Any: Playwright's own form
    def logged_in(self) -> dict[str, Any]:
        """Return the options of a browser's context that has the session."""
        where = {"domain": "127.0.0.1", "path": "/", "expires": -1}
        kind = {"httpOnly": True, "secure": False, "sameSite": "Lax"}
        cookies = [{"name": n, "value": v, **where, **kind} for n, v in self.session.items()]
        return {"storage_state": {"cookies": cookies}}


def fill(url: str, link: str) -> Content:
    """Make the first account by its printed link, and with it what the screens show."""
    with httpx.Client(base_url=url, timeout=60) as http:
        token = link.partition(_LINK_TOKEN)[2]
        body = {"token": token, "email": EMAIL, "password": PASSWORD}
        session = _made(http.post("/node/setup/", json=body))
        http.headers["X-CSRF-Token"] = session["csrf_token"]
        iris = http.get("/node/flows/").raise_for_status().json()["items"][0]
        flow = _made(saved := http.post("/node/flows/", json=_ratio()))
        live = _deploy(http, flow, name="Ratio", execution_mode="sync")
        paused = _deploy(http, flow, name="Ratio for partners", execution_mode="async")
        http.post(f"/node/deployments/{paused['id']}/pause/").raise_for_status()
        ids = {"iris": iris["id"], "flow": flow["id"], "deployment": live["id"]}
        for divisor in (4, 2, 0):
            _trigger(http, live, divisor)
        failed = http.get("/node/flow-runs/", params={"status": "failed"}).raise_for_status()
        ids["run"] = failed.json()["items"][0]["flow_run_id"]
        edited = _ratio(fields={"ratio": "input.a / input.b", "sum": "input.a + input.b"})
        match = {"If-Match": saved.headers["etag"]}
        http.put(f"/node/flows/{flow['id']}/", json=edited, headers=match).raise_for_status()
        webhook = {"notification_method": "webhook", "callback_url": f"{url}/readyz"}
        told = _deploy(http, flow, name="Ratio with events", execution_mode="sync", **webhook)
        _trigger(http, told, 2)
        ids |= {"redeployed": told["id"], "delivery": _delivery(http)}
        changed = _ratio(fields={"ratio": "input.a / input.b", "product": "input.a * input.b"})
        match = {"If-Match": http.get(f"/node/flows/{flow['id']}/").headers["etag"]}
        http.put(f"/node/flows/{flow['id']}/", json=changed, headers=match).raise_for_status()
        _made(http.post(f"/node/deployments/{told['id']}/redeploy/", json={}))
        _made(http.post(f"/node/deployments/{told['id']}/rollout/", json=_CANARY))
        for divisor in range(1, 9):
            _trigger(http, told, divisor)
        _made(http.post("/node/users/", json={"email": "grace@example.com", "role": "member"}))
        key = _made(http.post("/node/api-keys/", json={"name": "shop"}))
        servers = http.get("/node/inference-servers/").raise_for_status().json()["items"]
        ids |= {"key": key["id"], "server": servers[0]["id"]}
        return Content(ids, dict(http.cookies))


# Any, here and below: what the routes take and return
def _deploy(http: httpx.Client, flow: dict[str, Any], **fields: str) -> dict[str, Any]:
    return _made(http.post("/node/deployments/", json={"flow_id": flow["id"], **fields}))


def _delivery(http: httpx.Client) -> str:
    """Return the id of a delivery of which an attempt has ended."""
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
        shown = http.get("/node/webhooks/deliveries/").raise_for_status().json()["items"]
        for one in shown:
            if one["attempts"]:
                return str(one["id"])
        time.sleep(0.1)
    raise TimeoutError("no delivery has been attempted")


def _trigger(http: httpx.Client, deployment: dict[str, Any], divisor: int) -> None:
    call = {"input_data": {"a": 1, "b": divisor}}
    http.post(f"/node/deployment-trigger/{deployment['id']}/", json=call)


def _made(response: httpx.Response) -> dict[str, Any]:
    made: dict[str, Any] = response.raise_for_status().json()
    return made


def _ratio(fields: dict[str, str] | None = None) -> dict[str, Any]:
    nodes = [
        {"id": "input", "type": "api_input", "config": {"test_data": {"a": 1, "b": 4}}},
        {
            "id": "ratio",
            "type": "transform",
            "config": {"fields": fields or {"ratio": "input.a / input.b"}},
        },
        {"id": "output", "type": "api_output", "config": {"fields": {"ratio": "ratio.ratio"}}},
    ]
    edges = [{"source": "input", "target": "ratio"}, {"source": "ratio", "target": "output"}]
    return {"name": "Ratio", "description": "Divides a by b", "nodes": nodes, "edges": edges}
