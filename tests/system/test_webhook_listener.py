"""The commands of docs/webhooks.md, up to a printed delivery; the listener is a real process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.webhooks.signature import new_secret
from tests.slipstream.listening import Listener
from tests.slipstream.running import NO_WORKER, Up, free_port
from tests.system.installation import Installation, Json
from tests.system.runs import Runs

INPUT = {"x": [[5.1, 3.5, 1.4, 0.2]]}


@pytest.fixture(scope="module")
def local_runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """An installation with the settings that `listen` prints and short retry pauses."""
    listener = Listener()
    settings = {**listener.listening["settings"], "SLIPSTREAM_WEBHOOK_SCHEDULE_SECONDS": "0,0.5,1"}
    listener.close()
    up = Up(tmp_path_factory.mktemp("local_runs") / "state", *NO_WORKER, **settings)
    up.until("documentation")
    installation = Installation(up)
    yield Runs(installation)
    installation.stop()


def deploy(local_runs: Runs, url: str) -> Json:
    command = local_runs.installation.command
    flow = command("flows", "list")["items"][0]["id"]
    words = ("--flow", flow, "--mode", "fast", "--callback-url", url)
    made: Json = command("deployments", "create", *words)
    return made


def trigger(local_runs: Runs, made: Json) -> str:
    answer = local_runs.call(made["id"], INPUT)
    assert answer.status_code == 200, answer.text
    run_id: str = answer.json()["flow_run_id"]
    return run_id


@pytest.mark.long
def test_a_call_is_printed_and_verified_and_a_replay_is_a_duplicate(
    local_runs: Runs, tmp_path: Path
) -> None:
    port = str(free_port())
    made = deploy(local_runs, f"http://127.0.0.1:{port}/")
    (tmp_path / "secret.txt").write_text(f"{made['webhook_secret']}\n")
    listener = Listener("--port", port, "--secret-file", str(tmp_path / "secret.txt"))
    run_id = trigger(local_runs, made)
    printed = listener.next()
    assert (printed["event"], printed["flow_run_id"]) == ("run.completed", run_id)
    assert (printed["verified"], printed["attempt"], printed["status"]) == (True, "1", 200)
    assert 0 <= printed["after_seconds"] < 30
    local_runs.installation.command("webhooks", "replay", printed["id"])
    again = listener.next()
    assert (again["id"], again["duplicate"], again["attempt"]) == (printed["id"], True, "2")
    assert listener.close()["duplicates"] == 1


@pytest.mark.long
def test_with_the_wrong_secret_each_attempt_is_refused_with_the_reason(local_runs: Runs) -> None:
    listener = Listener(secret=new_secret())
    made = deploy(local_runs, listener.url)
    run_id = trigger(local_runs, made)
    for attempt in ("1", "2", "3"):
        printed = listener.next()
        assert (printed["flow_run_id"], printed["attempt"]) == (run_id, attempt)
        assert (printed["verified"], printed["status"]) == (False, 401)
        (finding,) = printed["findings"]
        assert finding["code"] == "signature_mismatch"
        assert "the secret is wrong" in finding["message"]
    assert listener.close()["refused"] == 3


@pytest.mark.long
def test_a_rejected_delivery_is_retried_until_accepted(local_runs: Runs) -> None:
    listener = Listener("--fail", "1")
    made = deploy(local_runs, listener.url)
    trigger(local_runs, made)
    first, second = listener.next(), listener.next()
    assert [first["status"], second["status"]] == [503, 503]
    assert (first["id"], first["times"], second["times"]) == (second["id"], 1, 2)
    assert not second["duplicate"]
    listener.close()
