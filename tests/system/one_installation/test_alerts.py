"""An alert goes from the metrics of an installation to who is to be told."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.webhooks.receiver import Receiver
from tests.services.alertmanager import Alertmanager
from tests.services.prometheus import Prometheus
from tests.slipstream.running import free_port
from tests.system.flow_documents import failing_flow
from tests.system.installation import Installation, Json
from tests.timing import TIMEOUT_SECONDS, pause

pytestmark = pytest.mark.services


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    """A process that is sent alerts."""
    made = Receiver(tmp_path)
    yield made
    made.close()


@pytest.fixture
def prometheus(
    installation: Installation, receiver: Receiver, tmp_path: Path
) -> Iterator[Prometheus]:
    """Prometheus and Alertmanager on what the command wrote; a condition of 5 minutes is enough."""
    folder = tmp_path / "watch"
    address = f"127.0.0.1:{free_port()}"
    sent_to = ("--notify", receiver.url("alerts"), "--alertmanager", address)
    installation.command("monitoring", str(folder), *sent_to)
    rules = folder / "rules.yml"
    rules.write_text(rules.read_text().replace("for: 5m", "for: 0s"))
    alertmanager, prometheus = Alertmanager(folder, address), Prometheus(folder)
    for service in (alertmanager, prometheus):
        service.start()
    yield prometheus
    for service in (alertmanager, prometheus):
        service.stop(signal.SIGTERM)


def test_an_alert_of_a_deployment_reaches_its_receiver(
    installation: Installation, prometheus: Prometheus, receiver: Receiver
) -> None:
    deployment = installation.deploy(
        failing_flow(), name="payments", execution_mode="sync", deployment_type="server"
    )
    group = {"alertname": "SlipstreamRunsFail", "deployment": deployment}
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not (posted := posts(receiver, group)):
        alerts = prometheus.query("ALERTS")
        assert time.monotonic() < deadline, alerts
        for _ in range(0 if alerts else 10):
            assert installation.trigger(deployment, json={"input_data": {}}).is_error
        pause(0.2)
    (alert,) = posted[0]["alerts"]
    assert alert["status"] == "firing"
    assert alert["labels"] == {**group, "severity": "ticket"}
    assert alert["annotations"] == {
        "summary": "100% of the runs of the deployment payments fail.",
        "runbook_url": "docs/runbook.md#slipstreamrunsfail",
    }


def posts(receiver: Receiver, group: Json) -> list[Json]:
    """Return what Alertmanager has posted about a group of alerts."""
    documents: list[Json] = [message.event for message in receiver.messages("alerts")]
    return [document for document in documents if document["groupLabels"] == group]
