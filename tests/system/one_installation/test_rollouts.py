"""Canaries and shadows under load: bad ones are rolled back by themselves, good ones go live."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx
import psutil
import pytest

from tests import onnx_models
from tests.system.installation import Installation, Json, chain
from tests.timing import TIMEOUT_SECONDS, Timer, pause

DEPLOYMENTS = "/node/deployments/"
X = [1.0, 2.0, 3.0]
BODY = {"input_data": {"x": X}}
CALLS_PER_SECOND = 100
PROMISED_SECONDS = 10.0

Outcome = tuple[int, list[float] | None]
"""The status of a call, and its output."""


class Site:
    """A fast deployment of a model that returns its input, and a second version of the model."""

    def __init__(self, installation: Installation, name: str, candidate: Path) -> None:
        self.installation = installation
        self.name = name
        installation.add_model(name, onnx_models.adds(candidate.with_name("first.onnx"), 0))
        installation.serve(name)
        self.id = installation.deploy(chain(name))
        installation.add_model(name, candidate)
        self.url = f"{DEPLOYMENTS}{self.id}/rollout/"

    def run_in_engine(self, mode: str) -> None:
        """Have the flow engine answer calls, in the gateway."""
        settings = {"execution_mode": mode, "deployment_type": "server"}
        assert self.installation.http.patch(f"{DEPLOYMENTS}{self.id}/", json=settings).is_success

    def start(self, strategy: str, **given: object) -> None:
        """Try the second version."""
        self.installation.post(self.url, {"strategy": strategy, **given})

    def rollout(self) -> Json:
        """Return the rollout."""
        found: Json = self.installation.http.get(self.url).json()
        return found

    def candidate_pid(self) -> int | None:
        """Return the process of the second version's inference server, if it has one."""
        for server in self.installation.http.get("/node/inference-servers/").json()["items"]:
            if (server["model"], server["version"]) == (self.name, 2):
                processes: list[Json] = server["processes"]
                return processes[0]["pid"] if processes else None
        return None

    @asynccontextmanager
    async def load(self) -> AsyncIterator[list[Outcome]]:
        """Call it 100 times a second; the list gets what callers were answered."""
        outcomes: list[Outcome] = []
        over = asyncio.Event()
        base, headers = self.installation.up.url, {"X-API-Key": self.installation.key}

        async def call(client: httpx.AsyncClient) -> None:
            answer = await client.post(f"/node/deployment-trigger/{self.id}/", json=BODY)
            found = answer.json()
            output = found["output_data"]["y"] if answer.is_success else None
            outcomes.append((answer.status_code, output))

        async def send() -> None:
            async with (
                httpx.AsyncClient(base_url=base, headers=headers) as client,
                asyncio.TaskGroup() as calls,
            ):
                while not over.is_set():
                    calls.create_task(call(client))
                    await asyncio.sleep(1 / CALLS_PER_SECOND)

        sending = asyncio.create_task(send())
        yield outcomes
        over.set()
        await sending

    async def until(self, condition: Callable[[Json], bool], seconds: float) -> Json:
        """Wait until the rollout fulfils a condition."""
        timer = Timer()
        while True:
            rollout = await asyncio.to_thread(self.rollout)
            if condition(rollout):
                return rollout
            assert timer.seconds < seconds, rollout
            await asyncio.sleep(0.1)


def has_ended(rollout: Json) -> bool:
    """Whether a rollout has ended."""
    state: str = rollout["state"]
    return state != "running"


async def crash_forever(site: Site) -> None:
    """Kill the candidate's process whenever it has one."""
    while True:
        pid = await asyncio.to_thread(site.candidate_pid)
        if pid is not None:
            with suppress(psutil.NoSuchProcess):
                psutil.Process(pid).kill()
        await asyncio.sleep(0.2)


COVERING = {("failing", "canary")}
"""tests/gateway/deployments/rollouts judges all of them."""
FAULTS: Mapping[str, tuple[Callable[[Path], Path], str]] = {
    "wrong": (lambda path: onnx_models.adds(path, 1), "outputs"),
    "slow": (lambda path: onnx_models.slow_to_run(path, 0.1), "latency"),
    "failing": (onnx_models.picky, "errors"),
    "crashing": (lambda path: onnx_models.adds(path, 0), "errors"),
}
"""How candidates are bad: what builds the model, and the check that it fails."""
FAULTY_ROLLOUTS = [
    pytest.param(*each, marks=() if each in COVERING else pytest.mark.long)
    for each in itertools.product(FAULTS, ["canary", "shadow"])
]


@pytest.mark.parametrize(("fault", "strategy"), FAULTY_ROLLOUTS)
async def test_a_bad_candidate_is_rolled_back_within_ten_seconds(
    installation: Installation, tmp_path: Path, strategy: str, fault: str
) -> None:
    build, cause = FAULTS[fault]
    site = Site(installation, f"{fault}-{strategy}", build(tmp_path / "second.onnx"))
    async with site.load() as outcomes:
        await asyncio.sleep(1)
        # Of a model that takes 0.1 s, not more calls than it can answer: it would refuse some.
        weight = 8 if fault == "slow" else 20
        site.start(strategy, weight=weight, checks={"tolerance": 0.01})
        crashing = asyncio.create_task(crash_forever(site)) if fault == "crashing" else None
        try:
            rollout = await site.until(has_ended, PROMISED_SECONDS)
        finally:
            if crashing is not None:
                crashing.cancel()
        await asyncio.to_thread(pause, 1)  # every gateway knows
        outcomes.clear()
        await asyncio.sleep(0.5)
    assert (rollout["state"], rollout["cause"]) == ("rolled_back", cause), rollout
    assert set(map(str, outcomes)) == {str((200, X))}
    shown = await asyncio.to_thread(installation.command, "deployments", "show", site.id)
    assert (shown["version"], shown["rollout"]["reason"]) == (1, rollout["reason"])
    logged = [line for line in installation.up.errors.splitlines() if site.id in line]
    assert any("rollout_rolled_back" in line for line in logged), logged
    metrics = installation.http.get("/metrics").text
    ended = f'rollouts_ended_total{{deployment="{site.id}",outcome="{cause}"}} 1'
    assert ended in metrics, [line for line in metrics.splitlines() if site.id in line]


@pytest.mark.long
async def test_callers_notice_nothing_of_a_bad_shadow(
    installation: Installation, tmp_path: Path
) -> None:
    site = Site(installation, "shadowed", onnx_models.picky(tmp_path / "second.onnx"))
    async with site.load() as outcomes:
        site.start("shadow", weight=100, checks={"tolerance": 0.01})
        await site.until(has_ended, PROMISED_SECONDS)
    assert set(map(str, outcomes)) == {str((200, X))}


async def test_a_good_candidate_goes_live_and_no_call_fails(
    installation: Installation, tmp_path: Path
) -> None:
    site = Site(installation, "better", onnx_models.adds(tmp_path / "second.onnx", 0.001))
    async with site.load() as outcomes:
        checks = {"tolerance": 0.01}
        site.start("canary", weight=30, checks=checks, promote_after_seconds=4)
        seen = await site.until(lambda rollout: rollout["compared"] >= 30, PROMISED_SECONDS)
        ended = await site.until(has_ended, PROMISED_SECONDS)
        await asyncio.sleep(1)
        tried, live = seen["candidate_calls"]["answered"], seen["baseline_calls"]["answered"]
        before = len(outcomes)
        await asyncio.sleep(0.5)
        after = outcomes[before:]
    assert {status for status, _ in outcomes} == {200}
    assert (ended["state"], ended["different"]) == ("promoted", 0), ended
    assert 0.15 < tried / (tried + live) < 0.45, seen
    assert all(output is not None and output[0] > 1.0005 for _, output in after), after


@pytest.mark.long
def test_calls_that_pin_a_version_are_not_split_and_items_of_batches_are(
    installation: Installation, tmp_path: Path
) -> None:
    site = Site(installation, "pinned", onnx_models.adds(tmp_path / "second.onnx", 1))
    site.start("canary", weight=50)
    pause(0.5)
    pinned = [
        installation.trigger(site.id, json=BODY, params={"version": number}).json()
        for number in (1, 2)
        for _ in range(10)
    ]
    outputs = [answer["output_data"]["y"][0] for answer in pinned]
    assert outputs == [1.0] * 10 + [2.0] * 10
    items = [{"x": X}] * 60
    url = f"/node/deployment-trigger/{site.id}/batch/"
    answer = installation.post(url, {"input_data": items})
    outputs = [item["output_data"]["y"][0] for item in answer["results"]]
    assert 10 < outputs.count(1.0) < 50, outputs
    assert outputs.count(1.0) + outputs.count(2.0) == 60
    installation.command("deployments", "rollback", site.id)
    pause(0.5)
    answers = [installation.trigger(site.id, json=BODY).json() for _ in range(10)]
    assert {answer["output_data"]["y"][0] for answer in answers} == {1.0}


@pytest.mark.long
def test_a_candidate_that_sleeps_is_woken_and_gets_no_call_meanwhile(
    installation: Installation, tmp_path: Path
) -> None:
    site = Site(installation, "sleepy", onnx_models.adds(tmp_path / "second.onnx", 1))
    second = {"model": "sleepy", "version": 2, "idle_timeout_seconds": 1}
    server = installation.post("/node/inference-servers/", second)
    installation.until_ready(server["id"])
    site.start("canary", weight=50)
    url = f"/node/inference-servers/{server['id']}/"
    installation.trigger(site.id, json=BODY, params={"version": 2})  # it sleeps a second later
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while installation.http.get(url).json()["desired"] != "asleep":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    pause(0.5)  # every gateway knows
    outputs = set()
    while outputs != {1.0, 2.0}:
        answer = installation.trigger(site.id, json=BODY)
        assert answer.status_code == 200, answer.text
        outputs.add(answer.json()["output_data"]["y"][0])
        assert time.monotonic() < deadline + TIMEOUT_SECONDS
        time.sleep(0.02)
    assert site.rollout()["state"] == "running"
    installation.http.delete(site.url)


@pytest.mark.long
def test_a_flow_in_the_engine_is_split_too(installation: Installation, tmp_path: Path) -> None:
    site = Site(installation, "engine", onnx_models.adds(tmp_path / "second.onnx", 1))
    site.run_in_engine("sync")
    site.start("canary", weight=50)
    pause(0.5)
    answers = [installation.trigger(site.id, json=BODY).json() for _ in range(40)]
    outputs = [answer["output_data"]["y"][0] for answer in answers]
    assert set(outputs) == {1.0, 2.0}
    url = f"/node/deployment-trigger/{site.id}/batch/"
    batch = installation.post(url, {"input_data": [{"x": X}] * 40})
    outputs += [item["output_data"]["y"][0] for item in batch["results"]]
    expected = (outputs.count(1.0), outputs.count(2.0))
    timer = Timer()
    while answered(site.rollout()) != expected:
        assert timer.seconds < 10, site.rollout()
        time.sleep(0.1)
    time.sleep(2)  # calls that are counted as waiting, although they are answered, would be late
    assert site.rollout()["state"] == "running"


def answered(rollout: Json) -> tuple[int, int]:
    """Return how many calls each version has answered."""
    return rollout["baseline_calls"]["answered"], rollout["candidate_calls"]["answered"]


@pytest.mark.long
async def test_async_runs_are_judged_when_they_end(
    installation: Installation, tmp_path: Path
) -> None:
    site = Site(installation, "later", onnx_models.picky(tmp_path / "second.onnx"))
    site.run_in_engine("async")
    site.start("canary", weight=50)
    await asyncio.to_thread(pause, 0.5)
    answers = [installation.trigger(site.id, json=BODY) for _ in range(60)]
    assert {answer.status_code for answer in answers} == {202}
    rollout = await site.until(has_ended, 30)
    assert (rollout["state"], rollout["cause"]) == ("rolled_back", "errors"), rollout
    assert rollout["candidate_calls"]["answered"] == rollout["candidate_calls"]["failed"] > 0
    assert rollout["baseline_calls"]["failed"] == 0
