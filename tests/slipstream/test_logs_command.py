"""`slipstream logs` on files that were written before."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from slipstream.log_files import all_files, log_file
from tests.slipstream.cli import Cli, invoke
from tests.timing import TIMEOUT_SECONDS

RUN = "0198d3f0-5d1c-7c3e-9a51-6f2f0c3b8f10"
DEPLOYMENT = "0b8f5f0e-4e57-4f0c-8a4e-2f4f8e0f6c11"
NOW = datetime.now(UTC)
LINES: list[dict[str, Any]] = [
    {"event": "ready", "level": "info", "process": "inference_server", "model": "iris"},
    {"event": "other", "level": "info", "process": "inference_server", "model": "iris2"},
    {"event": "run", "level": "warning", "process": "worker", "run_id": RUN},
    {"event": "call", "level": "error", "process": "gateway", "request_id": f"req_{RUN}"},
    {"event": "given", "level": "info", "request_id": "mine", "deployment": DEPLOYMENT},
    {"event": "exited", "level": "critical", "process": "supervisor", "reason": f"of {RUN} iris"},
]  # fmt: skip
"""One an hour, the last one now."""


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """Commands on a state folder whose log has LINES in several files, and half a line."""
    state = tmp_path_factory.mktemp("logs")
    newest = log_file(state)
    newest.parent.mkdir()
    whole = [
        json.dumps(line | {"timestamp": (NOW - timedelta(hours=5 - at)).isoformat()}) + "\n"
        for at, line in enumerate(LINES)
    ]
    files = all_files(newest)
    files[2].write_text(whole[0])
    files[1].write_text(whole[1] + whole[2] + '{"event": "torn' + "\n" + whole[3])
    files[0].write_text(whole[4] + whole[5] + '{"event": "just being written')
    return Cli(state)


def events(cli: Cli, *words: str) -> Iterator[str]:
    """Yield the events of the lines that a command prints as JSON."""
    result = cli.run("logs", "--json", *words)
    assert result.exit_code == 0, result.output
    for line in result.stdout.splitlines():
        yield json.loads(line)["event"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", "ready other run call given exited"),
        ("-n 3", "call given exited"),
        ("--model iris", "ready"),
        ("--process worker", "run"),
        ("--level warning", "run call exited"),
        (f"--request-id req_{RUN}", "run call"),
        ("--request-id mine", "given"),
        (f"--run-id {RUN[:13]}", "run"),
        (f"--deployment {DEPLOYMENT}", "given"),
        (f"--deployment {DEPLOYMENT[:8].upper()}", "given"),
        ("--since 150m", "call given exited"),
        pytest.param(
            f"--since {(NOW - timedelta(minutes=90)).isoformat()}", "given exited", id="a time"
        ),
        ("--level error --process gateway", "call"),
        ("--model none", ""),
    ],
)
def test_lines_are_found_by_what_they_have(cli: Cli, words: str, expected: str) -> None:
    assert list(events(cli, *words.split())) == expected.split()


def test_lines_are_text_that_cannot_act_on_a_terminal(tmp_path: Path) -> None:
    file = log_file(tmp_path)
    file.parent.mkdir()
    line = {
        "event": "e\x1b[2J",
        "level": "error",
        "text": "a\nb\x9b",
        "exception": "first\nsecond\x07",
    }
    file.write_text(json.dumps(line) + "\n")
    result = invoke(["logs", "--state", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert "\\x1b[2J" in result.stdout
    assert "first\nsecond\\x07" in result.stdout
    assert not set("\x1b\x9b\x07") & set(result.stdout)


def test_the_end_of_a_large_file_is_read_without_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = log_file(tmp_path)
    file.parent.mkdir()
    with file.open("w") as large:
        large.truncate(10_000_000_000)  # a hole, which takes no space
        large.seek(0, os.SEEK_END)
        large.write("\n" + "".join(json.dumps({"event": f"line {n}"}) + "\n" for n in range(9_000)))
    read = 0
    pread = os.pread

    def counted(descriptor: int, size: int, at: int) -> bytes:
        nonlocal read
        read += size
        return pread(descriptor, size, at)

    monkeypatch.setattr(os, "pread", counted)
    assert list(events(Cli(tmp_path), "-n", "2")) == ["line 8998", "line 8999"]
    assert read <= 1 << 20


@pytest.mark.processes
def test_follow_prints_new_lines_until_it_is_interrupted(tmp_path: Path) -> None:
    file = log_file(tmp_path)
    file.parent.mkdir()
    lines = [json.dumps({"event": f"line {number}"}) + "\n" for number in range(3)]
    file.write_text(lines[0] + lines[1])
    command = [sys.executable, "-m", "slipstream", "logs", "-f", "-n", "1", "--json"]
    following = subprocess.Popen(
        [*command, "--state", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert following.stdout is not None
    assert following.stdout.readline() == lines[1]
    with file.open("a") as appended:
        appended.write(lines[2])
    assert following.stdout.readline() == lines[2]
    following.send_signal(signal.SIGINT)
    assert following.communicate(timeout=TIMEOUT_SECONDS) == ("", "")
    assert following.returncode == 0


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    assert Cli(tmp_path / "none").refusal("logs") == (3, "unusable")
    cli = Cli(tmp_path)
    assert cli.refusal("logs") == (3, "unusable")
    assert "SLIPSTREAM_LOG_FILE_BYTES" in cli.run("logs").stderr
    for words in (["--since", "soon"], ["--run-id", "run"], ["--process", "celery"]):
        assert cli.run("logs", *words).exit_code == (3 if words[0] == "--run-id" else 2)
