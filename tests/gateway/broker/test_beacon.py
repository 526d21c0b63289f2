"""What the processes of one machine tell each other by files."""

from __future__ import annotations

import os
import time
from pathlib import Path

from gateway.broker.beacon import Beacon, BeaconFile, beacons
from gateway.broker.bell import Bell


def test_a_beacon_is_seen_until_it_is_removed(tmp_path: Path) -> None:
    file = BeaconFile(tmp_path)
    beacon = Beacon(pid=os.getpid(), ready=True, children=3, busy=1)
    file.show(beacon)
    file.show(beacon)
    ((seen, age),) = beacons(tmp_path)
    assert seen == beacon
    assert age < 60
    file.remove()
    file.remove()
    assert not list(beacons(tmp_path))


def test_what_is_shown_is_a_heartbeat_though_nothing_has_changed(tmp_path: Path) -> None:
    file = BeaconFile(tmp_path)
    beacon = Beacon(pid=1, ready=True, children=3, busy=1)
    file.show(beacon)
    (path,) = (tmp_path / "worker").iterdir()
    long_ago = time.time() - 100
    os.utime(path, (long_ago, long_ago))
    ((_, age),) = beacons(tmp_path)
    assert age > 99
    file.show(beacon)
    ((_, age),) = beacons(tmp_path)
    assert age < 60


def test_one_that_was_killed_is_forgotten_in_the_end(tmp_path: Path) -> None:
    BeaconFile(tmp_path).show(Beacon(pid=1, ready=True, children=3, busy=1))
    (path,) = (tmp_path / "worker").iterdir()
    os.utime(path, (0, 0))
    assert not list(beacons(tmp_path))
    assert not path.exists()


def test_where_there_is_no_folder_there_is_nothing_and_nobody_minds(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    assert not list(beacons(missing))
    bell = Bell(missing)
    bell.ring()
    assert bell.rung() == 0
    assert bell.silent_for() == float("inf")


def test_a_ring_is_heard_in_another_process(tmp_path: Path) -> None:
    ours, theirs = Bell(tmp_path), Bell(tmp_path)
    ours.ring()
    heard = theirs.rung()
    assert heard > 0
    assert theirs.silent_for() < 60
    Bell(tmp_path).ring()
    assert theirs.rung() >= heard
