"""Dispatcher processes: several at once, and killed between sending and recording."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from gateway.settings import Settings
from tests.gateway.webhooks.harness import WebhookHarness
from tests.gateway.webhooks.receiver import eventually

pytestmark = pytest.mark.databases("sqlite", "postgresql")

LEASE_SECONDS = 1.5


@contextmanager
def dispatcher(settings: Settings) -> Iterator[subprocess.Popen[str]]:
    """Run a dispatcher, and kill it at the end if it still runs."""
    environment = {
        **os.environ,
        "SLIPSTREAM_STATE": str(settings.state),
        "SLIPSTREAM_DATABASE_URL": settings.database,
        "SLIPSTREAM_WEBHOOK_ALLOW": "127.0.0.0/8",
        "SLIPSTREAM_WEBHOOK_ALLOW_HTTP": "1",
        "SLIPSTREAM_WEBHOOK_SCHEDULE_SECONDS": "0,0.1,0.1,0.1,0.1,0.1,0.1,0.1,0.1,0.1",
    }
    program = "tests.gateway.webhooks.dispatcher_program"
    process = subprocess.Popen(
        [sys.executable, "-m", program, str(LEASE_SECONDS)],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


async def test_a_delivery_interrupted_by_a_kill_is_sent_again_with_the_same_id(
    idle_harness: WebhookHarness, settings: Settings
) -> None:
    made = await idle_harness.deploy("wakes/2")
    run_id = await idle_harness.finish(made)
    with dispatcher(settings) as first:
        await eventually(
            idle_harness.receiver.messages
        )  # received, but the delivery is not yet recorded
        first.kill()
    assert (await idle_harness.delivery(run_id))["status"] == "pending"
    with dispatcher(settings):
        shown = await idle_harness.until(run_id, "delivered")
    one, two = idle_harness.receiver.messages()
    assert (one.id, one.body) == (two.id, two.body)
    assert (one.headers["x-webhook-attempt"], two.headers["x-webhook-attempt"]) == ("1", "2")
    for message in (one, two):
        message.verify(made["webhook_secret"])
    assert [attempt["number"] for attempt in shown["attempt_log"]] == [2]


async def test_several_dispatchers_send_each_event_once(
    idle_harness: WebhookHarness, settings: Settings
) -> None:
    made = await idle_harness.deploy()
    runs = {await idle_harness.finish(made) for _ in range(100)}
    with dispatcher(settings), dispatcher(settings):
        await eventually(idle_harness.receiver.messages, lambda found: len(found) >= len(runs))
        await idle_harness.until(runs.copy().pop(), "delivered")
    received = Counter(message.data["flow_run_id"] for message in idle_harness.receiver.messages())
    assert received == dict.fromkeys(runs, 1)


@pytest.mark.long
@pytest.mark.timeout(180)
async def test_every_event_arrives_although_dispatchers_are_killed(
    idle_harness: WebhookHarness, settings: Settings
) -> None:
    made = await idle_harness.deploy("sometimes/0.3")
    runs = {await idle_harness.finish(made) for _ in range(200)}
    kills = 4
    for number in range(1, kills + 1):
        enough = number * len(runs) // kills
        with dispatcher(settings) as process:
            await eventually(
                idle_harness.receiver.messages, lambda found, n=enough: len(found) >= n
            )
            process.kill()
    with dispatcher(settings):
        for run_id in runs:
            await idle_harness.until(run_id, "delivered")
    messages = idle_harness.receiver.messages()
    ids: dict[str, set[str]] = {}
    for message in messages:
        message.verify(made["webhook_secret"])
        ids.setdefault(message.data["flow_run_id"], set()).add(message.id)
    assert ids.keys() == runs
    assert {len(of_one) for of_one in ids.values()} == {1}
