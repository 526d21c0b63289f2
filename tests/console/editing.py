"""What tests do in the flow editor."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import httpx
from playwright.sync_api import Locator, Page, Response, expect

from tests.console.watched_page import WatchedPage

EMAIL = "ada@example.com"
PASSWORD = "correct-horse-battery-9"
_MAX_TABS = 80
_FOCUSED = """() => {
  const { activeElement } = document;
  const label = activeElement.labels?.[0]?.textContent;
  return activeElement.getAttribute("aria-label") ?? label ?? activeElement.textContent;
}"""

# Any, throughout: JSON
CHAIN: Sequence[Mapping[str, Any]] = (
    {"id": "input", "type": "api_input", "config": {"test_data": {"x": 20}}},
    {"id": "twice", "type": "transform", "config": {"fields": {"y": "input.x * 2"}}},
    {"id": "output", "type": "api_output", "config": {"fields": {"answer": "twice.y + 2"}}},
)
"""The nodes of a flow that needs no model."""


class Owner:
    """The same user by REST, with a session of its own."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._client = httpx.Client(base_url=url)
        login = self._client.post("/node/session/", json={"email": EMAIL, "password": PASSWORD})
        self._client.headers["X-CSRF-Token"] = login.json()["csrf_token"]

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """Send a request; return its JSON, if it has any."""
        answer = self._client.request(method, path, json=body).raise_for_status()
        return answer.json() if answer.content else None

    def call(self, trigger_path: str, body: object) -> str:
        """Call a deployment, which may fail; return the id of the run."""
        return str(self.answer(trigger_path, body).json()["flow_run_id"])

    def answer(self, trigger_path: str, body: object) -> httpx.Response:
        """Call a deployment; return the answer, which may be an error."""
        return self._client.post(trigger_path, json=body)

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def make_flow(self, name: str, nodes: Sequence[Mapping[str, Any]] = CHAIN) -> str:
        """Make a flow whose nodes follow each other; return its id."""
        ids = [node["id"] for node in nodes]
        return self.make_graph(name, nodes, [{"source": a, "target": b} for a, b in pairwise(ids)])

    def make_graph(
        self, name: str, nodes: Sequence[Mapping[str, Any]], edges: Sequence[Mapping[str, str]]
    ) -> str:
        """Make a flow; return its id."""
        body = {"name": name, "nodes": list(nodes), "edges": list(edges)}
        made = self._client.post("/node/flows/", json=body).raise_for_status().json()
        flow_id: str = made["id"]
        return flow_id

    def flow(self, flow_id: str) -> dict[str, Any]:
        """Return a flow as it is saved."""
        shown: dict[str, Any] = self._client.get(f"/node/flows/{flow_id}/").json()
        return shown

    def flow_named(self, name: str) -> dict[str, Any]:
        """Return the only flow of this name as it is saved."""
        found = self._client.get("/node/flows/", params={"q": name}).raise_for_status().json()
        [flow] = [each for each in found["items"] if each["name"] == name]
        return dict(flow)

    def redraft(self, flow_id: str, nodes: Sequence[Mapping[str, Any]]) -> None:
        """Replace the graph by nodes that follow each other."""
        edges = [{"source": a["id"], "target": b["id"]} for a, b in pairwise(nodes)]
        body = {"nodes": list(nodes), "edges": edges}
        self._client.patch(f"/node/flows/{flow_id}/", json=body).raise_for_status()

    def name_revision(self, flow_id: str, name: str) -> None:
        """Name the present draft."""
        path = f"/node/flows/{flow_id}/revisions/"
        self._client.post(path, json={"name": name}).raise_for_status()

    def deploy(self, flow_id: str, name: str) -> str:
        """Deploy a flow; return the deployment's id."""
        body = {"flow_id": flow_id, "name": name, "deployment_type": "server", "api_key": "none"}
        made = self._client.post("/node/deployments/", json=body).raise_for_status().json()
        return str(made["id"])

    def delete_deployment(self, deployment_id: str) -> None:
        """Delete a deployment."""
        self._client.delete(f"/node/deployments/{deployment_id}/").raise_for_status()

    def rename_node(self, flow_id: str, node_id: str, name: str) -> None:
        """Change the name of a node, as another editor does."""
        flow = self.flow(flow_id)
        nodes = [
            {**node, "name": name} if node["id"] == node_id else node for node in flow["nodes"]
        ]
        body = {"nodes": nodes, "edges": flow["edges"]}
        self._client.patch(f"/node/flows/{flow_id}/", json=body).raise_for_status()

    def node(self, flow_id: str, node_id: str) -> dict[str, Any]:
        """Return a node as it is saved."""
        nodes = self.flow(flow_id)["nodes"]
        return next(node for node in nodes if node["id"] == node_id)

    def edges(self, flow_id: str) -> set[tuple[str, str]]:
        """Return the edges as they are saved."""
        return {(edge["source"], edge["target"]) for edge in self.flow(flow_id)["edges"]}


def open_editor(watched: WatchedPage, flow_id: str, node: str = "") -> None:
    """Open the editor of a flow, with the panel of a node."""
    watched.open(f"/flows/{flow_id}/edit" + (f"?node={node}" if node else ""))
    status(watched, "Saved")
    watched.page.locator(".react-flow__node").first.wait_for()  # a moment later it can be focused


def open_panel(watched: WatchedPage, node_id: str) -> Locator:
    """Open the settings of a node by keyboard, and wait until they have the focus."""
    node_on_canvas(watched.page, node_id).press("Enter")
    panel = watched.page.get_by_role("region", name=re.compile("^Node "))
    expect(panel).to_be_focused()
    return panel


def status(watched: WatchedPage, text: str) -> None:
    """Wait until the editor says of its changes what `text` begins."""
    toolbar = watched.page.get_by_role("main").locator("header").first
    toolbar.get_by_text(text, exact=text == "Saved").first.wait_for()


@contextmanager
def saving(watched: WatchedPage, flow_id: str) -> Iterator[None]:
    """Wait until the gateway has saved what is changed within."""
    path = f"/node/flows/{flow_id}/"

    def is_saved(response: Response) -> bool:
        return response.request.method == "PUT" and response.url.endswith(path) and response.ok

    with watched.page.expect_response(is_saved):
        yield
    status(watched, "Saved")


def node_on_canvas(page: Page, node_id: str) -> Locator:
    """Return a node of the graph."""
    return page.locator(f'.react-flow__node[data-id="{node_id}"]')


def fill_expression(page: Page, name: str, text: str) -> None:
    """Replace the expression of a field, whose editor is loaded first."""
    page.get_by_role("textbox", name=f"Expression of {name}").fill(text)


def drag(page: Page, source: Locator, target: Locator) -> None:
    """Drag from the middle of one element to that of another."""
    source.hover()
    page.mouse.down()
    target.hover()
    page.mouse.up()


def tab_to(page: Page, name: str, key: str = "Tab") -> None:
    """Press a key until what is called `name` has the focus."""
    for _ in range(_MAX_TABS):
        page.keyboard.press(key)
        if (page.evaluate(_FOCUSED) or "").strip() == name:
            return
    raise AssertionError(f"{_MAX_TABS} times {key} do not lead to {name}")
