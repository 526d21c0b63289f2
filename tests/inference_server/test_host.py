"""The CPUs and memory of a process, read from control groups of both versions."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from inference_server.runtime.host import has_locale, plan_threads
from telemetry.control_groups import available_memory


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
def test_threads_follow_the_cpu_quota(
    tmp_path: Path, groups: str, files: dict[str, str], cpus: float
) -> None:
    plan = plan_threads(affinity=8, root=system(tmp_path, groups, files))
    assert plan.cpus == cpus
    assert plan.intra_op == max(1, int(cpus))


def test_servers_share_the_threads(tmp_path: Path) -> None:
    root = system(tmp_path, "0::/\n", {"cpu.max": "700000 100000\n"})
    assert plan_threads(servers=3, affinity=16, root=root).intra_op == 2
    assert plan_threads(servers=100, affinity=16, root=root).intra_op == 1
    text = str(plan_threads(servers=3, affinity=16, root=root))
    assert text == "2 threads per run (7 CPUs by cgroup quota shared by 3 servers)"


def test_the_affinity_counts_if_it_is_lower(tmp_path: Path) -> None:
    root = system(tmp_path, "0::/\n", {"cpu.max": "1600000 100000\n"})
    plan = plan_threads(affinity=4, root=root)
    assert (plan.cpus, plan.reason) == (4.0, "affinity")


def test_available_memory_is_that_of_the_machine_or_its_cgroup(tmp_path: Path) -> None:
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert available_memory(tmp_path) == machine
    limits = {"memory.max": "max\n", "a/memory.max": f"{1 << 30}\n"}
    assert available_memory(system(tmp_path / "v2", "0::/a\n", limits)) == 1 << 30
    limits = {"memory/memory.limit_in_bytes": f"{1 << 29}\n"}
    assert available_memory(system(tmp_path / "v1", "3:memory:/\n", limits)) == 1 << 29


def test_allocations_past_the_limit_fail() -> None:
    program = (
        "from inference_server.runtime.host import limit_memory; "
        "limit_memory(1 << 29); bytearray(1 << 30)"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert ended.stderr.endswith(b"MemoryError\n")


def test_the_memory_limit_follows_the_models_of_the_process() -> None:
    program = """
import resource
from inference_server.runtime import host
host.available_memory = lambda: 1 << 45  # the machine's own must not decide
limit = host.MemoryLimit()
for name, size in (("a", 0), ("b", 1 << 30), ("c", 1 << 29)):
    limit.add_model(name, size)
    print(resource.getrlimit(resource.RLIMIT_DATA)[0])
limit.remove_model("b")
limit.add_model("d", 0)
print(resource.getrlimit(resource.RLIMIT_DATA)[0])
limit.add_model("e", 1 << 30, fixed=1 << 31)
print(resource.getrlimit(resource.RLIMIT_DATA)[0])
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    first, *others, fixed = map(int, ended.stdout.split())
    assert 2 << 30 < first < 16 << 30
    assert [size - first for size in others] == [4 << 30, 6 << 30, 2 << 30]
    assert fixed == 1 << 31


def test_locales_are_detected() -> None:
    assert has_locale("C")
    assert not has_locale("xx_XX.UTF-8")
