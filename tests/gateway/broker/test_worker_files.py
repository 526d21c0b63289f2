"""What the processes of one machine tell each other by files."""

from __future__ import annotations

import os
import time
from pathlib import Path

from gateway.broker.worker_files import HeartbeatFile, WakeFile, WorkerHeartbeat, read_heartbeats


def test_a_beacon_is_seen_until_it_is_removed(tmp_path: Path) -> None:
    file = HeartbeatFile(tmp_path)
    heartbeat = WorkerHeartbeat(pid=os.getpid(), ready=True, concurrency=3, busy=1)
    file.write(heartbeat)
    file.write(heartbeat)
    ((seen, age),) = read_heartbeats(tmp_path)
    assert seen == heartbeat
    assert age < 60
    file.remove()
    file.remove()
    assert not list(read_heartbeats(tmp_path))


def test_what_is_shown_is_a_heartbeat_though_nothing_has_changed(tmp_path: Path) -> None:
    file = HeartbeatFile(tmp_path)
    heartbeat = WorkerHeartbeat(pid=1, ready=True, concurrency=3, busy=1)
    file.write(heartbeat)
    (path,) = (tmp_path / "worker").iterdir()
    long_ago = time.time() - 100
    os.utime(path, (long_ago, long_ago))
    ((_, age),) = read_heartbeats(tmp_path)
    assert age > 99
    file.write(heartbeat)
    ((_, age),) = read_heartbeats(tmp_path)
    assert age < 60


def test_one_that_was_killed_is_forgotten_in_the_end(tmp_path: Path) -> None:
    HeartbeatFile(tmp_path).write(WorkerHeartbeat(pid=1, ready=True, concurrency=3, busy=1))
    (path,) = (tmp_path / "worker").iterdir()
    os.utime(path, (0, 0))
    assert not list(read_heartbeats(tmp_path))
    assert not path.exists()


def test_where_there_is_no_folder_there_is_nothing_and_nobody_minds(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    assert not list(read_heartbeats(missing))
    wake_file = WakeFile(missing)
    wake_file.touch()
    assert wake_file.touched_at() == 0
    assert wake_file.seconds_since_touch() == float("inf")


def test_a_ring_is_heard_in_another_process(tmp_path: Path) -> None:
    ours, theirs = WakeFile(tmp_path), WakeFile(tmp_path)
    ours.touch()
    heard = theirs.touched_at()
    assert heard > 0
    assert theirs.seconds_since_touch() < 60
    WakeFile(tmp_path).touch()
    assert theirs.touched_at() >= heard
