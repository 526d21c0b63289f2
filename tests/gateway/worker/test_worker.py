"""Real workers on real brokers."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import psutil
import pytest

from gateway.broker.broker import Broker, Queue
from gateway.broker.worker_files import read_heartbeats
from tests.gateway import brokers
from tests.gateway.brokers import Cable, until
from tests.gateway.worker.conftest import Start
from tests.gateway.worker.running import names, pid_of


def test_every_run_runs_once_and_stopping_leaves_no_process(broker: Broker, start: Start) -> None:
    worker = start(broker, "--concurrency", "3")
    sync, async_ = names("sync", 100), names("async", 200)
    worker.send(Queue.SYNC, *sync)
    worker.send(Queue.ASYNC, *async_)
    worker.until_runs("ended", *sync, *async_)
    assert sorted(worker.runs("began")) == sorted([*sync, *async_])
    assert worker.stop() == 0
    assert "Traceback" not in worker.log()


def test_long_runs_never_block_a_sync_run(broker: Broker, start: Start) -> None:
    worker = start(broker, "--concurrency", "2")
    worker.send(Queue.ASYNC, *names("hold", 8))
    until(lambda: worker.runs("began"), "an async run has begun")
    for number in range(5):
        worker.send(Queue.SYNC, f"short-{number}")
        worker.until_runs("ended", f"short-{number}")
    assert len(worker.runs("began")) == 7
    worker.release()
    worker.until_runs("ended", *names("hold", 8))
    assert worker.stop() == 0


def test_a_worker_takes_no_more_than_it_has_slots_for(broker: Broker, start: Start) -> None:
    worker = start(broker, "--concurrency", "4")
    sync, async_ = names("hold-sync", 6), names("hold-async", 6)
    worker.send(Queue.SYNC, *sync)
    worker.send(Queue.ASYNC, *async_)
    worker.until_runs("began", *sync[:4], *async_[:4])
    time.sleep(0.5)
    assert len(worker.runs("began")) == 8
    worker.release()
    worker.until_runs("ended", *sync, *async_)
    assert worker.stop() == 0


def test_runs_that_only_wait_hold_no_slot(folder_broker: Broker, start: Start) -> None:
    worker = start(folder_broker, "--concurrency", "1")
    waiting = names("wait", 20)
    worker.send(Queue.SYNC, *waiting)
    worker.until_runs("began", *waiting)
    worker.send(Queue.SYNC, "short")
    worker.until_runs("ended", "short")
    worker.release()
    worker.until_runs("ended", *waiting)
    assert worker.stop() == 0


@pytest.mark.long
def test_a_run_that_crashes_its_executor_does_not_affect_other_runs(
    folder_broker: Broker, start: Start
) -> None:
    worker = start(folder_broker)
    worker.send(Queue.SYNC, "break-1", "after-1", "after-2")
    worker.until_runs("ended", "after-1", "after-2")
    until(lambda: "broken on purpose" in worker.log(), "the failure is logged")
    assert worker.stop() == 0


@pytest.mark.long
def test_a_worker_can_take_runs_of_one_queue_only(folder_broker: Broker, start: Start) -> None:
    worker = start(folder_broker, "--queues", "async", "--concurrency", "1")
    worker.send(Queue.SYNC, "left")
    worker.send(Queue.ASYNC, "taken-1", "taken-2")
    worker.until_runs("ended", "taken-1", "taken-2")
    assert worker.stop() == 0
    assert "left" not in worker.runs("began")


@pytest.mark.long
def test_a_stopping_worker_finishes_its_runs_and_starts_no_more(
    broker: Broker, start: Start
) -> None:
    worker = start(broker, "--concurrency", "2")
    worker.send(Queue.ASYNC, "hold-1")
    worker.until_runs("began", "hold-1")
    worker.process.send_signal(signal.SIGTERM)
    worker.until_printed("stopping")
    worker.send(Queue.SYNC, "later")
    worker.release()
    assert worker.ended() == 0
    assert worker.runs("ended") == ["hold-1"]
    successor = start(broker)
    successor.until_runs("ended", "later")
    assert successor.stop() == 0


def test_a_run_that_outlasts_the_drain_time_is_handed_back(broker: Broker, start: Start) -> None:
    worker = start(broker, "--concurrency", "2", grace_seconds=0.5)
    worker.send(Queue.ASYNC, "hold-1")
    worker.until_runs("began", "hold-1")
    holder = pid_of(worker, "hold-1")
    assert worker.stop() == 0
    assert ("-", holder) in worker.run_log("closed")
    assert worker.runs("ended") == []


def test_a_worker_that_is_busy_gives_back_the_rest_of_what_was_sent_together(
    folder_broker: Broker, start: Start
) -> None:
    busy = start(folder_broker, "--concurrency", "1")
    busy.send(Queue.ASYNC, "hold-1", *names("short", 5))
    busy.until_runs("began", "hold-1")
    idle = start(folder_broker, "--concurrency", "1")
    idle.until_runs("ended", *names("short", 5))
    assert pid_of(idle, "short-0") != pid_of(busy, "hold-1")
    assert idle.stop() == 0
    busy.release()
    busy.until_runs("ended", "hold-1")
    assert busy.stop() == 0


@pytest.mark.long
def test_a_second_signal_stops_it_at_once(folder_broker: Broker, start: Start) -> None:
    worker = start(folder_broker)
    worker.send(Queue.ASYNC, "hold-1")
    worker.until_runs("began", "hold-1")
    worker.process.send_signal(signal.SIGTERM)
    worker.until_printed("stopping")
    assert worker.stop() == 0
    assert worker.runs("ended") == []


def test_a_killed_worker_process_is_replaced_and_its_run_is_not_delivered_again(
    broker: Broker, start: Start
) -> None:
    worker = start(broker, "--concurrency", "2")
    worker.send(Queue.ASYNC, "hold-1")
    worker.until_runs("began", "hold-1")
    holder = psutil.Process(pid_of(worker, "hold-1"))
    holder.kill()
    until(lambda: not holder.is_running(), "the broker gives it no message")
    worker.send(Queue.ASYNC, *names("after", 5))
    worker.until_runs("ended", *names("after", 5))
    worker.send(Queue.SYNC, "sync")
    worker.until_runs("ended", "sync")
    assert worker.runs("began").count("hold-1") == 1
    assert worker.stop() == 0


def test_nothing_outlives_a_killed_worker_and_waiting_runs_wait_for_the_next(
    broker: Broker, start: Start
) -> None:
    worker = start(broker, "--concurrency", "2")
    worker.send(Queue.ASYNC, *names("hold", 3))
    worker.until_runs("began", "hold-0")
    assert worker.stop(signal.SIGKILL) == -signal.SIGKILL
    begun = worker.runs("began")
    worker.release()
    worker.send(Queue.ASYNC, "later")
    successor = start(broker)
    successor.until_runs("ended", "later")
    assert all(successor.runs("began").count(run_id) == 1 for run_id in begun)
    assert successor.stop() == 0


def test_a_worker_reconnects_to_its_broker_while_its_run_goes_on(
    server_broker: Broker, start: Start
) -> None:
    broker = server_broker
    cable = Cable(broker)
    worker = start(cable.broker, "--concurrency", "2")
    worker.send(Queue.ASYNC, "hold-1")
    worker.until_runs("began", "hold-1")
    cable.until_quiet()  # the broker has its acknowledgement
    cable.pull()
    until(lambda: "broker_lost" in worker.log(), "the loss is noticed")
    worker.release()
    worker.until_runs("ended", "hold-1")
    cable.plug()
    worker.send(Queue.ASYNC, *names("async", 3))
    worker.send(Queue.SYNC, *names("sync", 3))
    worker.until_runs("ended", *names("async", 3), *names("sync", 3))
    assert worker.runs("began").count("hold-1") == 1
    assert worker.stop() == 0
    cable.close()


def test_a_worker_goes_on_when_rabbitmq_closes_its_channel(tmp_path: Path, start: Start) -> None:
    with brokers.broker("amqp", tmp_path) as broker:
        (tmp_path / "channel-closed").touch()
        worker = start(broker, "--concurrency", "1")
        (process,) = worker.workers()
        worker.send(Queue.ASYNC, *names("async", 10))
        worker.send(Queue.SYNC, *names("sync", 10))
        worker.until_runs("ended", *names("async", 10), *names("sync", 10))
        assert worker.workers() == [process]
        assert "unknown delivery tag" in worker.log()
        assert worker.stop() == 0
        assert "Traceback" not in worker.log()


@pytest.mark.long
def test_runs_wait_at_the_broker_until_the_executor_has_started(
    folder_broker: Broker, start: Start
) -> None:
    closed = folder_broker.folder.parent / "closed"
    closed.touch()
    worker = start(folder_broker, ready=False)
    worker.send(Queue.SYNC, "patient")
    until(lambda: len(worker.run_log("waits")) > 1, "the executor has failed to start")
    assert not any("ready for" in line for line in worker.lines)
    closed.unlink()
    worker.until_runs("ended", "patient")
    assert worker.stop() == 0


def test_a_worker_stops_while_its_executor_cannot_start(
    folder_broker: Broker, start: Start
) -> None:
    (folder_broker.folder.parent / "closed").touch()
    worker = start(folder_broker, ready=False)
    until(lambda: worker.run_log("waits"), "the executor has failed to start")
    assert worker.stop() == 0
    assert '"exit_status": 0' in worker.log()
    assert "Traceback" not in worker.log()


@pytest.mark.long
def test_a_stalled_worker_is_replaced(folder_broker: Broker, start: Start) -> None:
    (folder_broker.folder.parent / "stalled").touch()
    worker = start(folder_broker, "--queues", "async")
    (stalled,) = worker.workers()
    worker.send(Queue.ASYNC, "unheard")
    worker.until_runs("ended", "unheard")
    assert "worker_stalled" in worker.log()
    until(lambda: stalled not in worker.workers(), "it has ended")
    assert worker.stop() == 0


@pytest.mark.long
def test_a_worker_that_is_blocked_or_stopped_is_replaced(
    folder_broker: Broker, start: Start
) -> None:
    worker = start(folder_broker, "--concurrency", "1", unresponsive_seconds=3)
    worker.send(Queue.ASYNC, "burn-1", "after-1")
    worker.until_runs("ended", "after-1")
    (stopped,) = worker.workers()
    stopped.suspend()
    worker.send(Queue.SYNC, "after-2")
    worker.until_runs("ended", "after-2")
    assert sum("unresponsive: no heartbeat for" in line for line in worker.lines) == 2
    assert stopped not in worker.workers()
    assert worker.stop() == 0


def test_a_worker_stops_while_its_broker_hangs(server_broker: Broker, start: Start) -> None:
    cable = Cable(server_broker)
    worker = start(cable.broker, "--concurrency", "2", grace_seconds=0.5)
    worker.send(Queue.ASYNC, "hold-1")
    worker.until_runs("began", "hold-1")
    cable.hold()
    assert worker.stop() == 0
    assert worker.runs("closed") == ["-"]
    cable.close()


@pytest.mark.long
def test_a_heartbeat_file_shows_how_busy_a_worker_is(folder_broker: Broker, start: Start) -> None:
    worker = start(folder_broker, "--concurrency", "3")
    run = worker.folder / "run"
    worker.send(Queue.ASYNC, "hold-1")
    until(
        lambda: [h for h, _ in read_heartbeats(run) if h.ready and any(h.busy.values())],
        "it is seen busy",
    )
    ((heartbeat, age),) = read_heartbeats(run)
    (process,) = worker.workers()
    assert (heartbeat.pid, heartbeat.concurrency) == (process.pid, 3)
    assert heartbeat.busy == {"sync": 0, "async": 1}
    assert age < 60
    worker.release()
    assert worker.stop() == 0
    assert not list(read_heartbeats(run))
