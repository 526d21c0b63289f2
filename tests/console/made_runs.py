"""Runs that tests make, over REST and in the database, and the rows that show them."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
from playwright.sync_api import Locator, Page

from gateway.storage.clock import now
from tests.console.editing import EMAIL, PASSWORD
from tests.gateway.runs.builders import run_id_of
from tests.slipstream.running import Up

# Any, here and below: JSON
Json = dict[str, Any]
MAX_ROWS = 60
"""Rows of a long list that may be in the document."""


class Runs:
    """The runs of an installation, made over REST and in its database."""

    def __init__(self, up: Up) -> None:
        self.database = up.state / "slipstream.db"
        self.http = httpx.Client(base_url=up.url)
        session = {"email": EMAIL, "password": PASSWORD}
        opened = self.http.post("/node/session/", json=session).raise_for_status().json()
        self.http.headers["x-csrf-token"] = opened["csrf_token"]

    def deploy(self, flow: Json, mode: str = "sync") -> Json:
        """Deploy a flow that runs in the gateway; return the deployment."""
        saved = self.http.post("/node/flows/", json=flow).raise_for_status().json()
        body = {"flow_id": saved["id"], "execution_mode": mode, "deployment_type": "server"}
        made: Json = self.http.post("/node/deployments/", json=body).raise_for_status().json()
        return made

    def call(self, deployment: Json, **input_data: object) -> str:
        """Call a deployment; return the id of its run."""
        answer = self.http.post(deployment["trigger_path"], json={"input_data": input_data})
        return str(answer.json()["flow_run_id"])

    def change_flow(self, deployment: Json, flow: Json) -> None:
        """Change the draft of a deployment, and deploy it."""
        path = f"/node/flows/{deployment['flow_id']}/"
        match = {"If-Match": self.http.get(path).headers["etag"]}
        self.http.put(path, json=flow, headers=match).raise_for_status()
        self.http.post(f"/node/deployments/{deployment['id']}/redeploy/").raise_for_status()

    def insert(self, run_id: str, number: int) -> None:
        """Insert copies of an ended run into the database, a second apart, each older."""
        with closing(sqlite3.connect(self.database, timeout=30)) as database, database:
            database.row_factory = sqlite3.Row
            row = dict(database.execute("SELECT * FROM runs WHERE id = ?", (run_id,)).fetchone())
            rows = []
            for at in range(1, number + 1):
                began = now() - timedelta(hours=1, seconds=at)
                time = began.strftime("%Y-%m-%d %H:%M:%S.%f")
                times = dict.fromkeys(("created_at", "started_at", "finished_at"), time)
                rows.append({**row, **times, "id": run_id_of(began), "duration_seconds": at / 1e3})
            names = ", ".join(row)
            values = ", ".join(f":{name}" for name in row)
            database.executemany(f"INSERT INTO runs ({names}) VALUES ({values})", rows)

    def insert_flows(self, flow_id: str, number: int) -> None:
        """Insert copies of a flow into the database, each with another name."""
        with closing(sqlite3.connect(self.database, timeout=30)) as database, database:
            database.row_factory = sqlite3.Row
            row = dict(database.execute("SELECT * FROM flows WHERE id = ?", (flow_id,)).fetchone())
            rows = [{**row, "id": uuid4().hex, "name": f"Flow {at}"} for at in range(1, number + 1)]
            values = ", ".join(f":{name}" for name in row)
            names = ", ".join(row)
            database.executemany(f"INSERT INTO flows ({names}) VALUES ({values})", rows)

    def set_nodes(self, run_id: str, nodes: Json) -> None:
        """Give an ended run these node outputs."""
        with closing(sqlite3.connect(self.database, timeout=30)) as database, database:
            database.execute(
                "UPDATE run_payloads SET node_outputs = ? WHERE run_id = ?",
                (json.dumps(nodes).encode(), run_id),
            )


def rows_of(grid: Locator) -> Locator:
    """Return the rows of a grid that are in the document, without its header."""
    return grid.locator("[role=row][data-index]")


def go_down(page: Page, grid: Locator, number: int, seconds: float = 90) -> None:
    """Go to the end of the rows by keyboard, again and again, until there are so many."""
    row = grid.locator(f"[aria-rowindex='{number + 1}']")
    deadline = time.monotonic() + seconds
    while not row.count():
        assert time.monotonic() < deadline, "the next rows are not loaded"
        page.keyboard.press("End")
        page.wait_for_timeout(200)
