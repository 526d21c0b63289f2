"""The publisher against real brokers."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.broker.broker import Broker, Queue, parse_broker_url
from gateway.broker.celery_app import RunSender, queue_depths
from gateway.broker.publisher import Publisher
from gateway.broker.worker_files import WakeFile
from tests.gateway import brokers
from tests.gateway.brokers import Cable
from tests.timing import TIMEOUT_SECONDS


class Published:
    """What the publisher has told."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self._news = asyncio.Event()

    def __call__(self, ids: Sequence[str]) -> None:
        asyncio.get_running_loop()  # told on the loop, where the owner's state lives
        self.ids += ids
        self._news.set()

    async def until(self, condition: Callable[[list[str]], bool]) -> None:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while not condition(self.ids):
                self._news.clear()
                await self._news.wait()


@asynccontextmanager
async def publishing(
    broker: Broker, run: Path, *, capacity: int = 20_000
) -> AsyncIterator[tuple[Publisher, Published]]:
    published = Published()
    publisher = Publisher(broker, published, wake_file=WakeFile(run), capacity=capacity)
    publisher.start()
    try:
        yield publisher, published
    finally:
        await publisher.close()


async def patiently(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while not condition():  # noqa: ASYNC110 - a thread does it, which sets no event
            await asyncio.sleep(0.01)


async def until_connected(publisher: Publisher, *, connected: bool = True) -> None:
    await patiently(lambda: publisher.state().connected is connected)


async def test_ids_reach_their_queues_and_are_reported(
    broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.broker.publisher._DEPTHS_SECONDS", TIMEOUT_SECONDS)
    async with publishing(broker, tmp_path) as (publisher, published):
        sync = [f"sync-{n}" for n in range(150)]
        assert all(publisher.publish(run_id, Queue.SYNC) for run_id in sync)
        assert publisher.publish("async", Queue.ASYNC)
        await published.until(lambda ids: len(ids) == 151)
        assert published.ids == [*sync, "async"]
        depths = {Queue.SYNC: 150, Queue.ASYNC: 1}
        assert queue_depths(broker, tuple(Queue)) == await publisher.depths() == depths
        state = publisher.state()
    assert (state.connected, state.waiting, state.sent, state.error) == (True, 0, 151, None)
    assert (state.refused, state.failed) == (0, 0)
    assert WakeFile(tmp_path).touched_at() > 0


async def test_publishing_without_a_broker_neither_waits_nor_raises(tmp_path: Path) -> None:
    away = parse_broker_url("redis://127.0.0.1:1/0", folder=tmp_path, prefix="x")
    async with publishing(away, tmp_path, capacity=2) as (publisher, published):
        taken = [publisher.publish(str(n), Queue.SYNC) for n in range(4)]
        assert taken == [True, True, False, False]
        await patiently(lambda: publisher.state().failed >= 1)
        assert await publisher.depths() is None
        state = publisher.state()
    assert (state.connected, state.waiting, state.refused) == (False, 2, 2)
    assert state.error
    assert not published.ids
    assert publisher.publish("late", Queue.SYNC) is False


async def test_ids_are_sent_after_the_broker_failed_to_say_how_many_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[RunSender] = []

    def fail(sender: RunSender) -> dict[Queue, int]:
        asked.append(sender)
        raise ConnectionError("away")

    monkeypatch.setattr(RunSender, "depths", fail)
    folder = parse_broker_url(None, folder=tmp_path / "broker", prefix="x")
    published = Published()
    publisher = Publisher(folder, published, wake_file=WakeFile(tmp_path))
    publisher.publish("waits", Queue.ASYNC)
    question: Future[Mapping[Queue, int] | None] = Future()
    publisher._questions.append(question)
    publisher.start()
    try:
        await published.until(lambda ids: ids == ["waits"])
        assert len(asked) == 1
        assert question.result() is None
    finally:
        await publisher.close()


async def test_a_broker_counts_as_lost_only_after_an_attempt(tmp_path: Path) -> None:
    away = parse_broker_url("redis://127.0.0.1:1/0", folder=tmp_path, prefix="x")
    publisher = Publisher(away, Published(), wake_file=WakeFile(tmp_path))
    assert not publisher.lost
    publisher.start()
    try:
        await patiently(lambda: publisher.lost)
    finally:
        await publisher.close()


@pytest.mark.parametrize("kind", ["redis", "amqp"])
async def test_ids_accepted_while_the_broker_was_down_are_sent_later(
    kind: str, tmp_path: Path
) -> None:
    with brokers.broker(kind, tmp_path) as broker:
        cable = Cable(broker)
        async with publishing(cable.broker, tmp_path) as (publisher, published):
            publisher.publish("before", Queue.ASYNC)
            await published.until(lambda ids: ids == ["before"])
            cable.pull()
            publisher.publish("meanwhile", Queue.ASYNC)
            await until_connected(publisher, connected=False)
            publisher.publish("then", Queue.ASYNC)
            assert published.ids == ["before"]
            cable.plug()
            await published.until(lambda ids: ids == ["before", "meanwhile", "then"])
            assert publisher.state().connected
        # What was being sent when the cable was pulled may have arrived, and is sent again.
        assert queue_depths(broker, [Queue.ASYNC])[Queue.ASYNC] >= 3
        cable.close()


async def test_waiting_ids_are_sent_before_it_closes(broker: Broker, tmp_path: Path) -> None:
    async with publishing(broker, tmp_path) as (publisher, _):
        await until_connected(publisher)
        for number in range(100):
            publisher.publish(str(number), Queue.ASYNC)
    assert queue_depths(broker, [Queue.ASYNC]) == {Queue.ASYNC: 100}


@pytest.mark.processes
def test_celery_is_not_imported_before_the_publisher_begins() -> None:
    program = (
        "import sys, gateway.broker.publisher, gateway.broker.worker_files\n"
        "sys.exit(any(name.split('.')[0] in ('celery', 'kombu') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
