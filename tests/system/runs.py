"""A REST client for deployments and runs."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from tests.system.installation import Installation, Json
from tests.timing import eventually

TERMINAL = frozenset({"completed", "failed", "cancelled"})
MANY_SECONDS = 300
"""The duration of runs that are to be stopped: longer than any test."""


@dataclass(frozen=True)
class ServerSentEvent:
    """One event of a stream."""

    id: str
    name: str
    data: Json


class Runs:
    """Triggers, polls and cancels runs. Tests check the responses."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        self.http = installation.http

    def deploy(self, flow: Json, mode: str = "sync", kind: str = "api", **settings: object) -> str:
        """Deploy a flow in a mode and type; return the deployment's id."""
        return self.installation.deploy(flow, execution_mode=mode, deployment_type=kind, **settings)

    def flow_of(self, deployment_id: str) -> str:
        """Return the id of the flow of a deployment."""
        answer = self.http.get(f"/node/deployments/{deployment_id}/")
        assert answer.is_success, answer.text
        flow_id: str = answer.json()["flow_id"]
        return flow_id

    def call(
        self,
        deployment_id: str,
        input_data: Json,
        headers: dict[str, str] | None = None,
        **query: object,
    ) -> httpx.Response:
        """Trigger."""
        return self.installation.trigger(
            deployment_id, json={"input_data": input_data}, headers=headers, params=query
        )

    def accept(
        self, deployment_id: str, input_data: Json, headers: dict[str, str] | None = None
    ) -> str:
        """Trigger, expecting 202; return the run's id."""
        answer = self.call(deployment_id, input_data, headers)
        assert answer.status_code == 202, answer.text
        run_id: str = answer.json()["flow_run_id"]
        return run_id

    def call_and_disconnect(self, deployment_id: str, headers: dict[str, str]) -> None:
        """Trigger with `{"x": 1}` and close the connection while the run is in progress."""
        body = json.dumps({"input_data": {"x": 1}}, separators=(",", ":"))
        sent = {
            "Host": "test",
            "X-API-Key": self.installation.key,
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            **headers,
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
        target = f"/node/deployment-trigger/{deployment_id}/"
        with socket.create_connection(("127.0.0.1", self.installation.up.port)) as caller:
            caller.sendall(f"POST {target} HTTP/1.1\r\n{head}\r\n{body}".encode())
            eventually(lambda: self.list_all(deployment=deployment_id), bool)
        # httpx sends the same bytes: the idempotency fingerprint covers the raw body.
        request = httpx.Request("POST", "http://x", json={"input_data": {"x": 1}})
        assert request.content == body.encode()

    def poll(self, run_id: str, **arguments: Any) -> httpx.Response:
        """Request a run."""
        return self.http.get(f"/node/flow-runs/{run_id}/", **arguments)

    def show(self, run_id: str) -> Json:
        """Return an existing run, regardless of the response format of its deployment."""
        answer = self.poll(run_id, params={"response_format": "flat"})
        assert answer.status_code == 200, answer.text
        run: Json = answer.json()
        return run

    def until(self, run_id: str, *statuses: str) -> Json:
        """Wait until a run has one of the statuses, by default a terminal one; return it."""
        wanted = frozenset(statuses) or TERMINAL
        return eventually(lambda: self.show(run_id), lambda run: run["status"] in wanted)

    def cancel(self, run_id: str) -> httpx.Response:
        """Cancel a run."""
        return self.http.post(f"/node/flow-runs/{run_id}/cancel/")

    def retry(self, run_id: str) -> httpx.Response:
        """Retry a run."""
        return self.http.post(f"/node/flow-runs/{run_id}/retry/")

    def page(self, **query: object) -> Json:
        """Return a page of the list."""
        answer = self.http.get("/node/flow-runs/", params=query)
        assert answer.status_code == 200, answer.text
        page: Json = answer.json()
        return page

    def list_all(self, **query: object) -> list[Json]:
        """Return all pages of the list, newest first."""
        items: list[Json] = []
        while True:
            page = self.page(**query)
            items += page["items"]
            if page["next_cursor"] is None:
                return items
            query["cursor"] = page["next_cursor"]

    @contextmanager
    def stream(self, run_id: str, **headers: str) -> Iterator[Iterator[ServerSentEvent]]:
        """Open the event stream of a run."""
        sent_headers = {"Accept": "text/event-stream", **headers}
        path = f"/node/flow-runs/{run_id}/events/"
        with self.http.stream("GET", path, headers=sent_headers) as answer:
            assert answer.status_code == 200, answer.read()
            assert answer.headers["content-type"].startswith("text/event-stream")
            yield _events(answer.iter_lines())

    def events(self, run_id: str, **headers: str) -> list[ServerSentEvent]:
        """Return the events of a run up to the end of the stream; headers may set the start."""
        with self.stream(run_id, **headers) as events:
            return list(events)


def problem_of(answer: httpx.Response, status: int, code: str) -> Json:
    """Assert that a response is this problem; return it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("application/problem+json")
    problem: Json = answer.json()
    assert problem["code"] == code, problem
    assert problem["message"]
    return problem


def _events(lines: Iterator[str]) -> Iterator[ServerSentEvent]:
    """Parse a stream by the HTML standard; comments only keep proxies from timing out."""
    fields: dict[str, str] = {}
    for text in lines:
        if text:
            name, _, value = text.partition(":")
            if name:
                value = value.removeprefix(" ")
                fields[name] = f"{fields[name]}\n{value}" if name in fields else value
        elif "data" in fields:
            yield ServerSentEvent(
                id=fields.get("id", ""),
                name=fields.get("event", "message"),
                data=json.loads(fields["data"]),
            )
            fields = {}
        else:
            fields = {}
