"""Log lines are JSON objects and never contain an API key."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pytest

from gateway.auth.keys import generate_key
from telemetry.redaction import redact_log, redact_message

pytestmark = pytest.mark.processes

KEY = generate_key()

PROLOGUE = """
import logging, sys
from telemetry import logs
KEY = sys.argv[1]
log = logs.logger("before")
logs.configure("info", process="gateway")
"""


def run(code: str) -> str:
    """Run code in a process with configured logs; return its stderr."""
    command = [sys.executable, "-W", "error", "-c", PROLOGUE + code, KEY]
    process = subprocess.run(command, capture_output=True, text=True, check=True)
    assert not process.stdout
    return process.stderr


def lines(code: str) -> list[dict[str, Any]]:
    """Return the log lines that code writes."""
    return [json.loads(line) for line in run(code).splitlines()]


def test_a_line_is_an_event_with_its_fields() -> None:
    (line,) = lines('log.info("run_finished", run_id="r1", seconds=0.5, tags=["a", "ü"])')
    assert datetime.fromisoformat(line.pop("timestamp")).utcoffset() is not None
    assert line.pop("pid") > 1
    assert line == {
        "event": "run_finished",
        "level": "info",
        "process": "gateway",
        "run_id": "r1",
        "seconds": 0.5,
        "tags": ["a", "ü"],
    }


def test_lines_are_text_where_that_is_set() -> None:
    text = run(
        'logs.configure("info", process="gateway", log_format="text")\n'
        'log.info("run_finished", key=KEY, run_id="r1")'
    )
    (line,) = text.splitlines()
    assert "\x1b" not in line, "no colours in a file"
    assert "run_finished" in line
    assert "run_id=r1" in line
    assert KEY not in line


def test_lines_below_the_level_are_dropped() -> None:
    code = """
log.debug("too quiet")
logging.getLogger("uvicorn").debug("too quiet")
log.warning("logged")
log.bind(model="iris").error("logged", process="inference_server")
"""
    assert [
        (line["event"], line["level"], line["process"], line.get("model")) for line in lines(code)
    ] == [
        ("logged", "warning", "gateway", None),
        ("logged", "error", "inference_server", "iris"),
    ]


def test_at_debug_libraries_do_not_log_what_they_send() -> None:
    code = """
logs.configure("debug", process="gateway", log_format="json")
logging.getLogger("hpack.hpack").debug("Encoded header block to b'authorization'")
logging.getLogger("hpack.hpack").info("logged")
logs.logger("gateway.web").debug("logged")
"""
    assert [line["event"] for line in lines(code)] == ["logged", "logged"]


def test_log_lines_of_libraries_have_the_same_format() -> None:
    code = 'logging.getLogger("uvicorn.error").warning("%s of %d", "one", 2, extra={"x": 1})'
    (line,) = lines(code)
    assert {"event", "level", "timestamp", "process", "pid"} == set(line)
    assert (line["event"], line["level"]) == ("one of 2", "warning")


def test_values_that_are_not_json_are_output_as_text() -> None:
    code = 'log.info("odd", path=__import__("pathlib").Path("a"), raw=b"b", kinds={"c"}, no=None)'
    (line,) = lines(code)
    assert "a" in line["path"]
    assert "b" in line["raw"]
    assert "c" in line["kinds"]
    assert line["no"] is None


def test_a_traceback_is_one_line_with_its_cause() -> None:
    code = """
try:
    try:
        1 / 0
    except ZeroDivisionError as error:
        raise RuntimeError("second") from error
except RuntimeError as error:
    log.error("failed", exc_info=error)
    log.exception("failed")
    logging.getLogger("alembic").exception("failed")
"""
    found = lines(code)
    assert len(found) == 3
    for line in found:
        assert line["level"] == "error"
        assert "ZeroDivisionError: division by zero" in line["exception"]
        assert "RuntimeError: second" in line["exception"]


KEY_EVERYWHERE = {
    "in a field": 'log.info("e", key=KEY)',
    "in the event": 'log.info(f"bad key {KEY}")',
    "in an argument": 'log.info("bad key %s", KEY)',
    "nested": 'log.info("e", headers={"a": [("x-api-key", KEY), {"deep": (KEY,)}]})',
    "as a name": 'log.info("e", used={KEY: 1}, **{KEY: 1})',
    "in bytes": 'log.info("e", header=KEY.encode(), raw=[b"X-API-Key: " + KEY.encode()])',
    "in a set": 'log.info("e", keys={KEY}, frozen=frozenset([KEY]))',
    "in an object": 'log.info("e", error=ValueError(KEY))',
    "bound": 'log.bind(key=KEY).info("e")',
    "in a URL": 'log.info("e", url=f"/run?key={KEY}&x=1", quoted=f"key%3D{KEY}%20")',
    "after a line's end": 'log.info("e", text=f"a\\n{KEY}\\r\\n\\t{KEY}")',
    "in a word": 'log.info("e", text=f"prefix{KEY}suffix", twice=KEY + KEY)',
    "in quotes": 'log.info("e", text=repr(repr({"a": KEY})))',
    "of a library": 'logging.getLogger("uvicorn").info("key %s", KEY)',
    "in a library's dict": 'logging.getLogger("uvicorn").info({"key": KEY})',
    "in an exception": """
try:
    raise ValueError(f"bad {KEY}")
except ValueError as error:
    log.exception("e")
    log.error("e", exc_info=error, error=error)
    logging.getLogger("sqlalchemy").exception("e %r", error)
""",
    "in a traceback": """
namespace = {}
exec(compile("def check(key):\\n    raise KeyError(key)", KEY + ".py", "exec"), namespace)
try:
    namespace["check"]({"nested": KEY})
except KeyError as error:
    error.add_note("the key was " + KEY)
    log.exception("e")
    logging.getLogger("grpc").exception("e")
""",
}


@pytest.fixture(scope="module")
def output() -> Mapping[str, str]:
    """The output of each of KEY_EVERYWHERE, from one process."""
    parts = [
        f"sys.stderr.write({name + chr(10)!r})\n{code}" for name, code in KEY_EVERYWHERE.items()
    ]
    rest = run("\n".join(parts))
    found = {}
    for name in reversed(KEY_EVERYWHERE):
        rest, _, found[name] = rest.rpartition(f"{name}\n")
    return found


@pytest.mark.parametrize("place", KEY_EVERYWHERE)
def test_no_key_is_logged(place: str, output: Mapping[str, str]) -> None:
    assert "********" in output[place]
    assert KEY[3:15] not in output[place]
    assert all(json.loads(line)["level"] for line in output[place].splitlines())


def test_no_key_is_logged_to_a_terminal() -> None:
    screen, terminal = pty.openpty()
    code = 'log.info("e", key=KEY, error=ValueError(KEY))\nlog.info(f"key {KEY}")'
    command = [sys.executable, "-c", PROLOGUE + code, KEY]
    subprocess.run(command, stderr=terminal, check=True)
    shown = os.read(screen, 65536).decode()
    os.close(terminal)
    os.close(screen)
    assert f"{KEY[:8]}********{KEY[-5:]}" in shown
    assert KEY[3:15] not in shown


@pytest.mark.parametrize("text", ["sk-EuT64abc", "'sk-proj-a_b-c1234'", "\\nsk-12345678"])
def test_the_beginning_of_a_key_is_redacted_too(text: str) -> None:
    assert "sk-********" in redact_log(text)
    assert "1234" not in redact_log(text)
    assert "EuT64" not in redact_log(text)


@pytest.mark.parametrize("text", ["risk-assessment", "disk-usage-model-v2", "sk-", "ask-anything"])
def test_words_that_contain_sk_are_unchanged(text: str) -> None:
    assert redact_log(text) == text


def test_a_complete_key_is_replaced_by_its_mask() -> None:
    masked = f"{KEY[:8]}********{KEY[-5:]}"
    assert redact_log(f"a {KEY}, b") == f"a {masked}, b"
    assert redact_message(f"there is no key '{KEY}'") == f"there is no key '{masked}'"


@pytest.mark.parametrize("length", [20, 30, 45, 47, 90])
def test_a_truncated_or_overlong_key_is_replaced_completely(length: int) -> None:
    text = "sk-" + ("aB3dE6fG7hJ8kL9" * 6)[:length]
    assert redact_log(text) == redact_message(text) == "sk-********"


@pytest.mark.parametrize("text", ["sk-learn-classifier", "no sk-EuT64abc", "task-0123456789"])
def test_messages_keep_names_that_resemble_keys(text: str) -> None:
    assert redact_message(text) == text
