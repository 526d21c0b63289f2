"""docs/operations.md, executed: an installation is backed up, destroyed, restored and removed."""

from __future__ import annotations

import signal
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests import onnx_models
from tests.architecture.repository import ROOT
from tests.gateway.databases import SERVER, PostgresDatabase
from tests.gateway.webhooks.receiver import Receiver
from tests.slipstream.running import LOOPBACK, free_port
from tests.system.each_backend.test_webhooks import ALL, messages_about
from tests.system.flow_documents import transform_flow
from tests.system.installation import chain
from tests.system.service import Service, blocks
from tests.timing import TIMEOUT_SECONDS

NEWER = "UPDATE alembic_version SET version_num = '9999'"


class Client:
    """A client of the service, with what it has made there."""

    def __init__(self, service: Service, port: int, receiver: Receiver, model: Path) -> None:
        self._receiver = receiver
        made = service.answer("keys", "create", "--name", "before", "--manage")
        self.http = httpx.Client(
            base_url=f"http://127.0.0.1:{port}", headers={"X-API-Key": made["key"]}, timeout=60
        )
        service.answer("models", "add", str(model), "--name", "mlp", "--serve")
        self.fast = self._deploy(chain("mlp"), execution_mode="fast")["id"]
        deployed = self._deploy(
            transform_flow(),
            execution_mode="sync",
            deployment_type="server",
            notification_method="webhook",
            callback_url=receiver.url("ok"),
            webhook_events=ALL,
        )
        self._sync, self._secret = deployed["id"], deployed["webhook_secret"]
        self.run_id = self._call(20)["flow_run_id"]

    def check(self) -> None:
        """Assert that everything that was made is there and works."""
        run = self.http.get(f"/node/flow-runs/{self.run_id}/").json()
        assert (run["status"], run["output_data"]) == ("completed", {"y": 40})
        answer = self._trigger(self.fast, {"x": [[1, 2, 3, 4]]})
        assert len(answer["output_data"]["y"][0]) == 3
        new = self._call(21)
        assert new["output_data"] == {"y": 42}
        for message in messages_about(self._receiver, new["flow_run_id"]):
            message.verify(self._secret)

    def _call(self, number: int) -> Any:
        return self._trigger(self._sync, {"x": number})

    def _trigger(self, deployment: str, input_data: Any) -> Any:
        path = f"/node/deployment-trigger/{deployment}/"
        answer = self.http.post(path, json={"input_data": input_data})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def _deploy(self, flow: Any, **settings: object) -> Any:
        flow_id = self.http.post("/node/flows/", json=flow).json()["id"]
        body = {"flow_id": flow_id, **settings}
        answer = self.http.post("/node/deployments/", json=body)
        assert answer.status_code == 201, answer.text
        return answer.json()


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    """A process that is sent webhooks."""
    made = Receiver(tmp_path)
    yield made
    made.close()


def test_every_block_of_the_page_is_executed() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    assert page.count("```console") == len(blocks())
    names = [name for name, _ in blocks()]
    assert names == [
        "start",
        *("backup sqlite", "backup postgresql", "restore sqlite", "restore postgresql"),
        *("upgrade", "downgrade", "uninstall", "uninstall postgresql"),
    ]


@dataclass(frozen=True)
class Machine:
    """The service on one kind of database."""

    service: Service
    kind: str
    database: PostgresDatabase

    def destroy(self) -> None:
        """Kill the service, and leave half of its state folder and nothing of its database."""
        state = self.service.state
        supervisor = psutil.Process(int((self.service.folder / "service.pid").read_text()))
        children = supervisor.children(recursive=True)
        supervisor.send_signal(signal.SIGKILL)
        psutil.wait_procs([supervisor, *children], timeout=TIMEOUT_SECONDS)
        for file in state.glob("slipstream.db*"):
            file.unlink()
        (state / "pepper").write_text("another pepper, made by mistake")
        if self.kind == "postgresql":
            self.database.drop()

    def pretend_newer(self) -> None:
        """Have tables of a version that does not exist yet."""
        if self.kind == "postgresql":
            self.service.run(f'psql --quiet --command="{NEWER}" {self.database.url}')
            return
        file = self.service.state / "slipstream.db"
        with closing(sqlite3.connect(file)) as connection, connection:
            connection.execute(NEWER)

    @property
    def doctor(self) -> str:
        """The command, for a service that does not run."""
        command = f"slipstream doctor --state {self.service.state}"
        if self.kind == "postgresql":
            return f"SLIPSTREAM_DATABASE_URL={self.database.url} {command}"
        return command


def live(machine: Machine, client: Client) -> None:
    """Carry out what follows the start."""
    service, kind = machine.service, machine.kind
    service.execute(f"backup {kind}")
    later = service.answer("keys", "create", "--name", "after the backup")["key"]
    machine.destroy()
    service.execute(f"restore {kind}")
    client.check()
    lost = client.http.get("/node/flows/", headers={"X-API-Key": later})
    assert lost.status_code == 401

    service.execute("upgrade")
    client.check()

    service.execute("downgrade")
    service.run("systemctl stop slipstream")
    machine.pretend_newer()
    refusal = service.run("systemctl start slipstream", status=1)
    assert "got 9999: run that version, or restore the backup" in refusal
    assert "9999" in service.run(machine.doctor, status=1)
    service.execute(f"restore {kind}")
    client.check()

    service.execute("uninstall")
    assert not service.state.exists()
    if kind == "postgresql":
        service.execute("uninstall postgresql")
        listed = service.run(f"psql --list --tuples-only {SERVER}/postgres")
        assert machine.database.name not in listed


@pytest.mark.long
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_backed_up_destroyed_restored_upgraded_and_removed(
    kind: str, tmp_path: Path, receiver: Receiver
) -> None:
    port = free_port()
    settings = {
        "SLIPSTREAM_PORT": str(port),
        "SLIPSTREAM_GRPC_PORT": str(free_port()),
        "SLIPSTREAM_WORKER_CONCURRENCY": "0",
        **LOOPBACK,
    }
    database = PostgresDatabase()
    replaced = [
        ("postgresql://slipstream@db.internal/slipstream", database.url),
        ("postgresql://slipstream@db.internal/postgres", f"{SERVER}/postgres"),
        (r"^((?:dropdb|createdb) .*) slipstream$", rf"\1 {database.name}"),
    ]
    if kind == "postgresql":
        database.create()
        settings["SLIPSTREAM_DATABASE_URL"] = database.url
    service = Service(tmp_path, settings, replaced)
    with ExitStack() as stack:
        stack.callback(database.drop)
        stack.callback(service.run, "systemctl stop slipstream")
        service.execute("start")
        model = onnx_models.mlp(tmp_path / "mlp.onnx")
        client = Client(service, port, receiver, model)
        stack.callback(client.http.close)
        live(Machine(service, kind, database), client)
