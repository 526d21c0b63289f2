"""Real workers on real brokers."""

from __future__ import annotations

import signal
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from gateway.broker.broker import Broker
from gateway.broker.heartbeat_file import read_heartbeats
from gateway.broker.queues import Queue
from tests.gateway import brokers
from tests.gateway.brokers import Cable, until
from tests.gateway.worker.conftest import Start
from tests.gateway.worker.running import names, pid_of


def test_every_run_is_run_once_and_stopping_leaves_nothing(broker: Broker, start: Start) -> None:
    worker = start(broker, "--concurrency", "3")
    sync, async_ = names("sync", 100), names("async", 200)
    worker.send(Queue.SYNC, *sync)
    worker.send(Queue.ASYNC, *async_)
    worker.until_runs("ended", *sync, *async_)
    assert sorted(worker.runs("began")) == sorted([*sync, *async_])
    assert len({pid for _, pid in worker.diary("began")}) == 3
    assert worker.stop() == 0
    assert "Traceback" not in worker.log()


def test_long_runs_never_stand_in_the_way_of_a_sync_one(broker: Broker, start: Start) -> None:
    worker = start(broker, "--concurrency", "2")
    worker.send(Queue.ASYNC, *names("hold", 8))
    until(lambda: worker.runs("began"), "an async run has begun")
    for number in range(5):
        worker.send(Queue.SYNC, f"short-{number}")
        worker.until_runs("ended", f"short-{number}")
    assert len(worker.runs("began")) == 6
    worker.release()
    worker.until_runs("ended", *names("hold", 8))
    assert worker.stop() == 0


def test_a_long_sync_run_leaves_others_to_the_other_children(
    folder_broker: Broker, start: Start
) -> None:
    worker = start(folder_broker, "--concurrency", "3")
    worker.send(Queue.SYNC, *names("hold", 2))
    worker.until_runs("began", *names("hold", 2))
    worker.send(Queue.SYNC, *names("short", 5))
    worker.until_runs("ended", *names("short", 5))
    worker.release()
    assert worker.stop() == 0


def test_a_run_that_breaks_its_executor_breaks_nothing_else(
    folder_broker: Broker, start: Start
) -> None:
    worker = start(folder_broker)
    worker.send(Queue.SYNC, "break-1", "after-1", "after-2")
    worker.until_runs("ended", "after-1", "after-2")
    assert "broken on purpose" in worker.log()
    assert worker.stop() == 0


def test_one_queue_may_be_all_that_a_worker_takes(folder_broker: Broker, start: Start) -> None:
    worker = start(folder_broker, "--queues", "async", "--concurrency", "1")
    worker.send(Queue.SYNC, "left")
    worker.send(Queue.ASYNC, "taken-1", "taken-2")
    worker.until_runs("ended", "taken-1", "taken-2")
    assert worker.stop() == 0
    assert "left" not in worker.runs("began")


def test_what_runs_is_finished_before_it_stops_and_nothing_more_is_begun(
    broker: Broker, start: Start
) -> None:
    worker = start(broker, "--concurrency", "2")
    worker.send(Queue.ASYNC, "hold-1")
    worker.until_runs("began", "hold-1")
    worker.process.send_signal(signal.SIGTERM)
    worker.until_said("draining")
    until(lambda: len(worker.lanes()) == 1, "the idle lane has gone")
    worker.send(Queue.SYNC, "later")
    worker.release()
    assert worker.ended() == 0
    assert worker.runs("ended") == ["hold-1"]
    successor = start(broker)
    successor.until_runs("ended", "later")
    assert successor.stop() == 0


def test_what_runs_for_too_long_is_handed_back_before_it_stops(
    broker: Broker, start: Start
) -> None:
    worker = start(broker, "--concurrency", "2", grace_seconds=0.5)
    worker.send(Queue.ASYNC, "hold-1")
    worker.until_runs("began", "hold-1")
    holder = pid_of(worker, "hold-1")
    assert worker.stop() == 0
    assert ("-", holder) in worker.diary("closed")
    assert worker.runs("ended") == []


def test_a_second_signal_ends_it_at_once(folder_broker: Broker, start: Start) -> None:
    worker = start(folder_broker)
    worker.send(Queue.ASYNC, "hold-1")
    worker.until_runs("began", "hold-1")
    worker.process.send_signal(signal.SIGTERM)
    worker.until_said("draining")
    assert worker.stop() == 0
    assert worker.runs("ended") == []


def test_a_child_that_is_killed_is_replaced_and_its_run_comes_to_nobody_else(
    broker: Broker, start: Start
) -> None:
    worker = start(broker, "--concurrency", "2")
    worker.send(Queue.ASYNC, "hold-1")
    worker.until_runs("began", "hold-1")
    psutil.Process(pid_of(worker, "hold-1")).kill()
    worker.send(Queue.ASYNC, *names("after", 5))
    worker.until_runs("ended", *names("after", 5))
    worker.send(Queue.SYNC, "sync")
    worker.until_runs("ended", "sync")
    assert worker.runs("began").count("hold-1") == 1
    assert worker.stop() == 0


def test_a_lane_that_is_killed_is_replaced_and_the_other_goes_on(
    broker: Broker, start: Start
) -> None:
    worker = start(broker, "--concurrency", "2")
    worker.send(Queue.ASYNC, "hold-1")
    worker.until_runs("began", "hold-1")
    holder = psutil.Process(pid_of(worker, "hold-1"))
    (idle,) = [lane for lane in worker.lanes() if lane.pid != holder.ppid()]
    children = idle.children()
    idle.kill()
    psutil.wait_procs([idle, *children], timeout=20)
    worker.send(Queue.SYNC, "sync")
    worker.until_runs("ended", "sync")
    worker.release()
    worker.until_runs("ended", "hold-1")
    assert worker.runs("began").count("hold-1") == 1
    assert not any(child.is_running() for child in children)
    assert worker.stop() == 0


@pytest.mark.parametrize("how", ["killed", "orphaned"])
def test_nothing_outlives_its_parent_and_what_waits_waits_for_the_next(
    broker: Broker, start: Start, how: str
) -> None:
    worker = start(broker, "--concurrency", "2")
    worker.send(Queue.ASYNC, *names("hold", 3))
    worker.until_runs("began", "hold-0")
    if how == "killed":
        assert worker.stop(signal.SIGKILL) == -signal.SIGKILL
    else:
        assert worker.cut() == 1
    begun = worker.runs("began")
    worker.release()
    worker.send(Queue.ASYNC, "later")
    successor = start(broker)
    successor.until_runs("ended", "later")
    assert all(successor.runs("began").count(run_id) == 1 for run_id in begun)
    assert successor.stop() == 0


def test_a_worker_comes_back_with_its_broker_and_the_run_goes_on_meanwhile(
    server_broker: Broker, start: Start
) -> None:
    broker = server_broker
    cable = Cable(broker)
    worker = start(cable.broker, "--concurrency", "2")
    worker.send(Queue.ASYNC, "hold-1")
    worker.until_runs("began", "hold-1")
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


@pytest.mark.services
def test_a_run_that_outlasts_the_visibility_timeout_and_the_broker_runs_once(
    tmp_path: Path, start: Start
) -> None:
    with brokers.broker("redis", tmp_path) as plain:
        cable = Cable(plain)
        hasty = replace(cable.broker, visibility_timeout=1.0)
        worker = start(hasty, "--concurrency", "3")
        worker.send(Queue.ASYNC, "hold-1")
        worker.until_runs("began", "hold-1")
        cable.pull()
        until(lambda: "broker_lost" in worker.log(), "the loss is noticed")
        cable.plug()
        time.sleep(4)
        worker.send(Queue.ASYNC, "after")
        worker.until_runs("ended", "after")
        worker.release()
        worker.until_runs("ended", "hold-1")
        assert worker.runs("began") == ["hold-1", "after"]
        assert worker.stop() == 0
        cable.close()


def test_a_run_waits_for_an_executor_that_cannot_start_yet(
    folder_broker: Broker, start: Start
) -> None:
    closed = folder_broker.folder.parent / "closed"
    closed.touch()
    worker = start(folder_broker)
    worker.send(Queue.SYNC, "patient")
    until(lambda: worker.diary("waits"), "the executor has failed to start")
    closed.unlink()
    worker.until_runs("ended", "patient")
    assert worker.stop() == 0


def test_a_lane_that_hears_nothing_any_more_is_replaced(
    folder_broker: Broker, start: Start
) -> None:
    (folder_broker.folder.parent / "stalled").touch()
    worker = start(folder_broker, "--queues", "async")
    (deaf,) = worker.lanes()
    worker.send(Queue.ASYNC, "unheard")
    worker.until_runs("ended", "unheard")
    assert "queue_worker_stalled" in worker.log()
    until(lambda: deaf not in worker.lanes(), "it has gone")
    assert worker.stop() == 0


def test_an_idle_worker_says_so_and_a_busy_one_does_not(
    folder_broker: Broker, start: Start
) -> None:
    worker = start(folder_broker, "--idle-seconds", "1")
    worker.until_said("idle", times=2)
    worker.send(Queue.ASYNC, "hold-1")
    run = worker.folder / "run"
    until(
        lambda: [heartbeat for heartbeat, _ in read_heartbeats(run) if heartbeat.busy],
        "it is seen to be busy",
    )
    said = worker.said("idle")
    time.sleep(2)
    assert worker.said("idle") == said
    worker.release()
    worker.until_said("idle", times=said + 1)
    assert worker.stop() == 0


def test_a_worker_shows_how_it_does(folder_broker: Broker, start: Start) -> None:
    worker = start(folder_broker, "--concurrency", "3")
    run = worker.folder / "run"
    worker.send(Queue.ASYNC, "hold-1")
    until(
        lambda: [b for b, _ in read_heartbeats(run) if b.ready and b.busy], "it is seen to be busy"
    )
    ((heartbeat, age),) = read_heartbeats(run)
    assert (heartbeat.pid, heartbeat.children, heartbeat.busy) == (worker.process.pid, 3, 1)
    assert age < 60
    worker.release()
    assert worker.stop() == 0
    assert not list(read_heartbeats(run))
