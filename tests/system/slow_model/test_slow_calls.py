"""Why a fast call was slow, from the request id of its answer."""

from __future__ import annotations

from tests.slipstream.cli import invoke
from tests.system.slow_model.slow_server import SlowServer
from tests.timing import eventually


def test_a_slow_fast_call_is_explained_by_what_it_waited_for(slow: SlowServer) -> None:
    slow.settle()
    with slow.busy(4):
        answer = slow.trigger()
    assert answer.status_code == 200, answer.text
    request_id = answer.headers["x-request-id"]
    http = slow.installation.http
    kept = eventually(
        lambda: http.get(f"/node/calls/{request_id}/").json(), lambda found: found["status"] == 200
    )
    assert list(kept["phases"]) == ["auth", "parse", "queue", "infer", "serialise"]
    shown = slow.installation.command("calls", "explain", request_id)
    assert shown["call"]["phases"] == kept["phases"]
    shares = {part["kind"]: part["share"] for part in shown["parts"]}
    assert shares["queue"] > shares["infer"] > shares["parse"]
    assert 0.9 < sum(shares.values()) < 1.01
    first, *_ = shown["findings"]
    assert first.startswith("queue took ")
    assert "--replicas" in first
    state = str(slow.installation.up.state)
    printed = invoke(["calls", "explain", request_id, "--state", state]).output
    assert first in printed
    assert "█" * 10 in printed
