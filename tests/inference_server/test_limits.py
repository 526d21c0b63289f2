"""What the process may use, read from control groups of both versions, and what follows."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from inference_server.runtime import locale, memory, threads


def system(root: Path, groups: str, files: dict[str, str]) -> Path:
    """Write /proc/self/cgroup and files below /sys/fs/cgroup into `root`."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(groups)
    for name, text in files.items():
        file = root / "sys/fs/cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


@pytest.mark.parametrize(
    ("groups", "files", "cpus"),
    [
        ("0::/\n", {"cpu.max": "200000 100000\n"}, 2.0),
        ("0::/\n", {"cpu.max": "max 100000\n"}, 8.0),
        ("0::/a/b\n", {"a/cpu.max": "300000 100000\n", "a/b/cpu.max": "max 100000\n"}, 3.0),
        ("0::/a/b\n", {"a/cpu.max": "300000 100000\n", "a/b/cpu.max": "50000 100000\n"}, 0.5),
        ("0::/docker/0a1b\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/\n", {"cpu.max": "nonsense"}, 8.0),
        (
            "4:memory:/x\n1:cpu,cpuacct:/x\n0::/\n",
            {
                "cpu,cpuacct/x/cpu.cfs_quota_us": "400000\n",
                "cpu,cpuacct/x/cpu.cfs_period_us": "100000\n",
            },
            4.0,
        ),
        ("1:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 8.0),
        ("", {}, 8.0),
    ],
)
def test_threads_are_planned_from_the_quota(
    tmp_path: Path, groups: str, files: dict[str, str], cpus: float
) -> None:
    plan = threads.plan(affinity=8, root=system(tmp_path, groups, files))
    assert plan.cpus == cpus
    assert plan.intra_op == max(1, int(cpus))


def test_servers_share_the_threads(tmp_path: Path) -> None:
    root = system(tmp_path, "0::/\n", {"cpu.max": "700000 100000\n"})
    assert threads.plan(servers=3, affinity=16, root=root).intra_op == 2
    assert threads.plan(servers=100, affinity=16, root=root).intra_op == 1
    text = str(threads.plan(servers=3, affinity=16, root=root))
    assert text == "2 threads a run (7 CPUs by cgroup quota shared by 3 servers)"


def test_the_affinity_counts_where_it_is_less(tmp_path: Path) -> None:
    root = system(tmp_path, "0::/\n", {"cpu.max": "1600000 100000\n"})
    plan = threads.plan(affinity=4, root=root)
    assert (plan.cpus, plan.reason) == (4.0, "affinity")


def test_memory_is_the_machines_or_the_groups(tmp_path: Path) -> None:
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert memory.available(tmp_path) == machine
    limits = {"memory.max": "max\n", "a/memory.max": f"{1 << 30}\n"}
    assert memory.available(system(tmp_path / "v2", "0::/a\n", limits)) == 1 << 30
    limits = {"memory/memory.limit_in_bytes": f"{1 << 29}\n"}
    assert memory.available(system(tmp_path / "v1", "3:memory:/\n", limits)) == 1 << 29


def test_memory_past_the_cap_is_refused() -> None:
    program = "from inference_server.runtime import memory; memory.cap(1 << 29); bytearray(1 << 30)"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert ended.stderr.endswith(b"MemoryError\n")


def test_a_locale_is_there_or_not() -> None:
    assert locale.installed("C")
    assert not locale.installed("xx_XX.UTF-8")
