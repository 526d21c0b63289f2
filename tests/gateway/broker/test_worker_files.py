"""Files by which the processes of one machine signal each other."""

from __future__ import annotations

import os
import time
from pathlib import Path

from gateway.broker.worker_files import (
    HeartbeatFile,
    WakeFile,
    WorkerCollector,
    WorkerHeartbeat,
    read_heartbeats,
)
from telemetry.instruments import render


def test_a_heartbeat_is_read_until_it_is_removed(tmp_path: Path) -> None:
    file = HeartbeatFile(tmp_path)
    heartbeat = WorkerHeartbeat(pid=os.getpid(), ready=True, concurrency=3, busy={"async": 1})
    file.write(heartbeat)
    file.write(heartbeat)
    ((seen, age),) = read_heartbeats(tmp_path)
    assert seen == heartbeat
    assert age < 60
    file.remove()
    file.remove()
    file.write(heartbeat)  # by the monitor's thread, which may be late
    assert not list(read_heartbeats(tmp_path))


def test_a_heartbeat_of_an_older_version_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "worker").mkdir()
    old = '{"pid": 1, "ready": true, "concurrency": 3, "busy": 1}'
    (tmp_path / "worker" / "1.json").write_text(old)
    assert not list(read_heartbeats(tmp_path))


def test_writing_an_unchanged_state_renews_the_heartbeat(tmp_path: Path) -> None:
    file = HeartbeatFile(tmp_path)
    heartbeat = WorkerHeartbeat(pid=1, ready=True, concurrency=3, busy={"async": 1})
    file.write(heartbeat)
    (path,) = (tmp_path / "worker").iterdir()
    long_ago = time.time() - 100
    os.utime(path, (long_ago, long_ago))
    ((_, age),) = read_heartbeats(tmp_path)
    assert age > 99
    file.write(heartbeat)
    ((_, age),) = read_heartbeats(tmp_path)
    assert age < 60


def test_the_heartbeat_of_a_killed_worker_expires(tmp_path: Path) -> None:
    HeartbeatFile(tmp_path).write(
        WorkerHeartbeat(pid=1, ready=True, concurrency=3, busy={"async": 1})
    )
    (path,) = (tmp_path / "worker").iterdir()
    os.utime(path, (0, 0))
    assert not list(read_heartbeats(tmp_path))
    assert not path.exists()


def test_a_missing_folder_has_no_heartbeats_and_no_wake_file(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    assert not list(read_heartbeats(missing))
    wake_file = WakeFile(missing)
    wake_file.touch()
    assert wake_file.touched_at() == 0
    assert wake_file.seconds_since_touch() == float("inf")


def test_a_touch_is_seen_by_another_process(tmp_path: Path) -> None:
    ours, theirs = WakeFile(tmp_path), WakeFile(tmp_path)
    ours.touch()
    heard = theirs.touched_at()
    assert heard > 0
    assert theirs.seconds_since_touch() < 60
    WakeFile(tmp_path).touch()
    assert theirs.touched_at() >= heard


def test_a_workers_heartbeat_has_an_age(tmp_path: Path) -> None:
    collector = WorkerCollector(tmp_path)
    assert b"celery_worker_heartbeat_age_seconds{" not in render([collector])
    HeartbeatFile(tmp_path).write(
        WorkerHeartbeat(pid=os.getpid(), ready=True, concurrency=3, busy={"async": 1})
    )
    (path,) = (tmp_path / "worker").iterdir()
    long_ago = time.time() - 100
    os.utime(path, (long_ago, long_ago))
    lines = render([collector]).decode().splitlines()
    name = f'celery_worker_heartbeat_age_seconds{{worker="{os.getpid()}"}}'
    (age,) = (float(line.split()[1]) for line in lines if line.startswith(name))
    assert 99 < age < 160
