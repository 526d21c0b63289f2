"""The log file: several processes append, one moves it away, and no failure reaches who logs."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
import threading
from collections import defaultdict
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from slipstream.log_files import all_files, log_file, rotate
from slipstream.log_lines import LineFilter, LogReader
from tests.timing import TIMEOUT_SECONDS

pytestmark = pytest.mark.processes

PROLOGUE = """
import sys
from pathlib import Path
from telemetry import logs
file = Path(sys.argv[1])
logs.configure("warning", process="gateway", log_format="json", file=file)
log = logs.logger("tests")
"""
WRITERS, LINES = 3, 1500


def start(code: str, file: Path) -> subprocess.Popen[str]:
    """Run code in a process that logs to the file."""
    command = [sys.executable, "-W", "error", "-c", PROLOGUE + code, str(file)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def errors_of(code: str, file: Path) -> list[dict[str, Any]]:  # Any: JSON
    """Run code; return what it has logged on stderr."""
    process = start(code, file)
    _, errors = process.communicate(timeout=TIMEOUT_SECONDS)
    assert process.returncode == 0, errors
    return [json.loads(line) for line in errors.splitlines()]


def events_in(file: Path) -> list[str]:
    return [json.loads(line)["event"] for line in file.read_text().splitlines()]


def test_no_line_is_lost_mixed_or_read_twice_while_the_file_is_moved(tmp_path: Path) -> None:
    file = log_file(tmp_path)
    code = f"""
for number in range({LINES}):
    log.info("line", number=number, padding="x" * (20_000 if number % 100 == 0 else 9))
"""
    oldest = all_files(file)[-1]
    ended = threading.Event()

    def move() -> None:
        while not (oldest.exists() or ended.is_set()):  # the next time would delete lines
            rotate(file, 5 * 100_000)

    writers = [start(code, file) for _ in range(WRITERS)]
    seen: dict[int, list[int]] = defaultdict(list)
    moving = threading.Thread(target=move)
    moving.start()
    with closing(LogReader(file, LineFilter())) as reader:
        for line in filter(None, reader.follow()):
            seen[line.fields["pid"]].append(line.fields["number"])
            if len(seen) == WRITERS and all(LINES - 1 in found for found in seen.values()):
                break
    ended.set()
    moving.join()
    assert all(writer.communicate(timeout=TIMEOUT_SECONDS)[1] == "" for writer in writers)
    assert seen == {writer.pid: list(range(LINES)) for writer in writers}
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (oldest, file.parent)]
    assert modes == [0o600, 0o700]
    with closing(LogReader(file, LineFilter())) as reader:  # the same, from the end
        last = reader.last(WRITERS * LINES)
    assert len(last) == WRITERS * LINES


def test_a_deleted_file_takes_no_space_although_a_process_has_it_open(tmp_path: Path) -> None:
    *files, oldest = all_files(tmp_path / "log")
    for file in (*files, oldest):
        file.write_text(file.name)
    with oldest.open() as opened:
        rotate(files[0], 0)
        assert opened.read() == ""
    assert not files[0].exists()
    assert [file.read_text() for file in (*files[1:], oldest)] == [file.name for file in files]


def test_the_file_has_lines_that_stderr_does_not_have(tmp_path: Path) -> None:
    errors = errors_of('log.debug("a"); log.info("b"); log.warning("c", x=1)', tmp_path / "log")
    assert [line["event"] for line in errors] == ["c"]
    info, warning = map(json.loads, (tmp_path / "log").read_text().splitlines())
    assert (info["event"], warning["event"], warning["x"]) == ("b", "c", 1)
    assert {"timestamp", "level", "process", "pid", "host"} < set(info)


def test_a_folder_that_cannot_be_used_costs_lines_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.write_text("no folder")
    code = """
for number in range(3):
    log.error("lost", number=number)
file.parent.unlink()
log.error("kept")
import shutil
shutil.rmtree(file.parent)
log.error("kept as well")
"""
    errors = errors_of(code, folder / "log")
    events = [line["event"] for line in errors]
    assert events.count("log_file_failed") == events.count("log_file_written_again") == 1
    failed = errors[events.index("log_file_failed")]
    assert (failed["level"], failed["reason"]) == ("warning", "Not a directory")
    assert {"lost", "kept"} < set(events)
    assert events_in(folder / "log") == ["kept as well"]


def test_a_full_disk_costs_lines_and_nothing_else() -> None:
    errors = errors_of('log.error("one"); log.error("two")', Path("/dev/full"))
    assert sorted(line["event"] for line in errors) == ["log_file_failed", "one", "two"]
