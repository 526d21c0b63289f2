"""Workers as Prometheus sees them."""

from __future__ import annotations

import os
import time
from pathlib import Path

from gateway.broker.worker_files import HeartbeatFile, WorkerCollector, WorkerHeartbeat
from telemetry.instruments import render


def test_a_workers_heartbeat_has_an_age(tmp_path: Path) -> None:
    collector = WorkerCollector(tmp_path)
    assert b"celery_worker_heartbeat_age_seconds{" not in render([collector])
    HeartbeatFile(tmp_path).write(
        WorkerHeartbeat(pid=os.getpid(), ready=True, concurrency=3, busy=1)
    )
    (path,) = (tmp_path / "worker").iterdir()
    long_ago = time.time() - 100
    os.utime(path, (long_ago, long_ago))
    lines = render([collector]).decode().splitlines()
    name = f'celery_worker_heartbeat_age_seconds{{worker="{os.getpid()}"}}'
    (age,) = (float(line.split()[1]) for line in lines if line.startswith(name))
    assert 99 < age < 160
