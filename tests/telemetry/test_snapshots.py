"""One /metrics endpoint for several processes."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from telemetry import snapshots
from telemetry.exposition import OPEN_METRICS
from telemetry.instruments import Registry, render
from telemetry.snapshots import SharedRegistry
from tests.metrics_text import open_metrics
from tests.timing import TIMEOUT_SECONDS

SIBLING = """
import sys
from pathlib import Path
from tests.telemetry.test_snapshots import ProcessMetrics
metrics = ProcessMetrics(Path(sys.argv[1]), sys.argv[2])
for line in sys.stdin:
    kind, label, amount = line.split()
    (metrics.call if kind == "call" else metrics.wait)(label, float(amount))
    metrics.shared.publish()
    print("published", flush=True)
"""


class ProcessMetrics:
    """The metrics of each process."""

    def __init__(self, folder: Path, name: str) -> None:
        registry = Registry()
        self._calls = registry.counter("calls_total", "Calls.", ("who",))
        self.waits = registry.histogram("wait_seconds", "Wait.", ("who",), (0.1, 1.0))
        self.registry = registry
        self.shared = SharedRegistry(registry, folder, name)

    def call(self, who: str, amount: float) -> None:
        """Count calls."""
        self._calls.child(who).add(amount)

    def wait(self, who: str, seconds: float) -> None:
        """Observe a wait."""
        self.waits.child(who).observe(seconds)

    def scraped(self) -> dict[tuple[str, ...], float]:
        """Return the samples of a scrape of this process."""
        families = text_string_to_metric_families(render([self.shared]).decode())
        return {
            (sample.name, *sample.labels.values()): sample.value
            for family in families
            for sample in family.samples
        }


class Sibling:
    """Another process with the same metrics."""

    def __init__(self, folder: Path, name: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", SIBLING, str(folder), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def count(self, *lines: str) -> None:
        """Make it count and publish each line; returns when it has."""
        assert self.process.stdin
        assert self.process.stdout
        for line in lines:
            self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        for _ in lines:
            assert self.process.stdout.readline() == "published\n"


@contextmanager
def siblings(folder: Path, *names: str) -> Iterator[list[Sibling]]:
    """Run other processes."""
    with ExitStack() as stack:
        started = [Sibling(folder, name) for name in names]
        for sibling in started:
            stack.enter_context(sibling.process)
            stack.callback(sibling.process.kill)
        yield started


@pytest.mark.processes
def test_a_scrape_sums_all_processes_including_dead_ones(tmp_path: Path) -> None:
    metrics = ProcessMetrics(tmp_path / "metrics", "mine")
    metrics.call("a", 1)
    metrics.shared.publish()
    metrics.call("a", 1)
    with siblings(tmp_path / "metrics", "second", "third") as (second, third):
        second.count("call a 10", "call b 5", "wait a 0.05", "wait a 0.5")
        third.count("call a 100", "wait a 3", "wait a 0.07")
        alive = metrics.scraped()
        second.process.send_signal(signal.SIGKILL)
        second.process.wait()
    metrics.call("c", 7)
    assert alive == {
        ("calls_total", "a"): 112,
        ("calls_total", "b"): 5,
        ("wait_seconds_bucket", "0.1", "a"): 2,
        ("wait_seconds_bucket", "1.0", "a"): 3,
        ("wait_seconds_bucket", "+Inf", "a"): 4,
        ("wait_seconds_count", "a"): 4,
        ("wait_seconds_sum", "a"): pytest.approx(3.62),
    }
    assert metrics.scraped() == alive | {("calls_total", "c"): 7}


def test_a_process_goes_on_from_an_older_snapshot_with_its_name(tmp_path: Path) -> None:
    old = ProcessMetrics(tmp_path, "gateway-1")
    old.call("a", 5)
    old.shared.publish()
    assert ProcessMetrics(tmp_path, "gateway-2").scraped() == {("calls_total", "a"): 5}
    new = ProcessMetrics(tmp_path, "gateway-1")
    new.call("a", 1)
    assert new.scraped() == {("calls_total", "a"): 6}


@pytest.mark.processes
def test_snapshots_of_ended_processes_become_one(tmp_path: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    ended = [f"worker-{gone.pid}", f"gateway-{gone.pid}"]
    for name in ended:
        metrics = ProcessMetrics(tmp_path, name)
        metrics.call("a", 5)
        metrics.call(name, 1)  # it has the process's own name
        metrics.call("deleted", 1)
        metrics.wait("a", 0.5)
        metrics.shared.publish()
    mine = ProcessMetrics(tmp_path, f"gateway-{os.getpid()}")
    mine.call("a", 1)
    mine.shared.publish()
    mine.registry.remove_series("who", "deleted")
    mine.shared.fold()
    assert len(list(tmp_path.iterdir())) == 3, "they have published just now"
    for name in ended:
        os.utime(tmp_path / f"{name}.json", (0, 0))
    before = mine.scraped()
    assert before["calls_total", "a"] == 11
    assert ("calls_total", ended[0]) not in before
    mine.shared.fold()
    assert {path.name for path in tmp_path.iterdir()} == {
        "ended.json",
        f"gateway-{os.getpid()}.json",
    }
    assert mine.scraped() == before
    reader = ProcessMetrics(tmp_path, "reader-1")
    assert reader.scraped() == before, "what was deleted is not in the file"


def test_exemplars_are_shown_in_open_metrics_by_the_latest(tmp_path: Path) -> None:
    first, second = (ProcessMetrics(tmp_path, name) for name in ("gateway-1", "gateway-2"))
    for number, metrics in enumerate((first, second)):
        metrics.wait("a", 0.5)
        metrics.waits.child("a").exemplify(0.5, f"{number:032x}")
        metrics.shared.publish()
    for scraped in (first, second):
        text = render([scraped.shared], OPEN_METRICS).decode()
        (family,) = [each for each in open_metrics(text) if each.name == "wait_seconds"]
        shown = [each for each in family.samples if each.exemplar]
        assert [(each.labels["le"], each.value) for each in shown] == [("1.0", 2)]
        assert shown[0].exemplar.labels == {"trace_id": f"{1:032x}"}
        assert shown[0].exemplar.value == 0.5
    assert "trace_id" not in render([first.shared]).decode()


async def test_publishing_goes_on_after_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "_PUBLISH_SECONDS", 0.01)
    folder = tmp_path / "metrics"
    metrics = ProcessMetrics(folder, "mine")
    folder.rmdir()
    metrics.shared.start()
    await asyncio.sleep(0.1)
    folder.mkdir()
    async with asyncio.timeout(TIMEOUT_SECONDS):
        # it has another name until it is whole
        while not (folder / "mine.json").exists():  # noqa: ASYNC110 - nothing tells of a file
            await asyncio.sleep(0.01)
    await metrics.shared.close()


def test_gauges_of_dead_processes_do_not_count(tmp_path: Path) -> None:
    registries = [Registry() for _ in range(2)]
    for number, registry in enumerate(registries):
        registry.gauge("busy", "Busy.").child().set(3.0 + number)
    mine, other = (
        SharedRegistry(registry, tmp_path, f"gateway-{number}")
        for number, registry in enumerate(registries)
    )
    other.publish()
    assert values(mine) == [7]
    os.utime(tmp_path / "gateway-1.json", (0, 0))
    assert values(mine) == [3]


def values(shared: SharedRegistry) -> list[float]:
    return [sample.value for metric in shared.collect() for sample in metric.samples]


def test_counters_never_decrease_while_others_publish(tmp_path: Path) -> None:
    metrics, writer = ProcessMetrics(tmp_path, "reader"), ProcessMetrics(tmp_path, "writer")
    done = threading.Event()

    def publish() -> None:
        for _ in range(300):
            writer.call("a", 1)
            writer.wait("a", 0.5)
            writer.shared.publish()
        done.set()

    thread = threading.Thread(target=publish)
    thread.start()
    before = 0.0
    while not done.is_set():
        now = metrics.scraped().get(("calls_total", "a"), 0.0)
        assert now >= before
        before = now
    thread.join()
    assert metrics.scraped()["calls_total", "a"] == 300
    assert [path.name for path in tmp_path.iterdir()] == ["writer.json"]


def test_a_scrape_does_not_change_the_processs_own_metrics(tmp_path: Path) -> None:
    metrics, other = ProcessMetrics(tmp_path, "mine"), ProcessMetrics(tmp_path, "other")
    for each in (metrics, other):
        each.call("a", 1)
        each.wait("a", 0.5)
        each.shared.publish()
    assert metrics.scraped() == metrics.scraped()
    assert metrics.scraped() == other.scraped()


def test_removed_series_do_not_return_from_anywhere(tmp_path: Path) -> None:
    metrics, dead = ProcessMetrics(tmp_path, "mine"), ProcessMetrics(tmp_path, "dead")
    for each in (metrics, dead):
        for who in ("a", "b"):
            each.call(who, 1)
            each.wait(who, 0.5)
        each.shared.publish()
    assert metrics.shared.values_of("who") == {"a", "b"}
    metrics.registry.remove_series("who", "a")
    kept = {key: value for key, value in dead.scraped().items() if "b" in key}
    assert metrics.scraped() == kept
    metrics.call("a", 1)
    metrics.shared.publish()
    assert metrics.scraped() == kept
    dead.registry.remove_series("who", "a")
    assert dead.scraped() == kept, "it is not in the first one's snapshot"


def test_series_of_a_process_of_another_release_with_other_labels_are_left_out(
    tmp_path: Path,
) -> None:
    metrics = ProcessMetrics(tmp_path, "mine")
    metrics.call("a", 1)
    older = Registry()
    older.counter("calls_total", "Calls.", ("who", "how")).child("a", "b").add()
    SharedRegistry(older, tmp_path, "older").publish()
    assert metrics.scraped() == {("calls_total", "a"): 1.0}
