"""What child processes print reaches the log, in bounds."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from time import monotonic
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.body_parsing.parser import PROGRAM, BodyParser
from gateway.children import output
from gateway.children.metrics import ChildMetrics
from gateway.children.pool import ChildPool
from telemetry.instruments import Registry
from telemetry.logs import logger
from tests.timing import TIMEOUT_SECONDS

pytestmark = pytest.mark.processes


@pytest.fixture(autouse=True)
def new_logger(monkeypatch: pytest.MonkeyPatch) -> None:
    """`capture_logs` does not see a logger that was used under an earlier configuration."""
    monkeypatch.setattr(output, "log", logger("gateway.children"))


def write(body: bytes, descriptor: int) -> None:
    """Write in the child."""
    while body:
        body = body[os.write(descriptor, body) :]


def write_and_die(body: bytes) -> None:
    """Write in the child, and end it without a reply."""
    write(body, 2)
    os._exit(1)


@asynccontextmanager
async def parser_of(**limits: Any) -> AsyncIterator[BodyParser]:
    parser = BodyParser(ChildPool(replace(PROGRAM, **limits), ChildMetrics(Registry())))
    try:
        yield parser
    finally:
        await parser.close()


async def written(body: bytes, descriptor: int = 2, **limits: Any) -> list[dict[str, Any]]:
    """Return what is logged of what a child writes, until it has ended."""
    with capture_logs() as logs:
        async with parser_of(**limits) as parser:
            await parser.run("a tenant", monotonic() + TIMEOUT_SECONDS, write, body, descriptor)
    return [dict(line) for line in logs]


@pytest.mark.parametrize("descriptor", [1, 2])
async def test_lines_are_logged(descriptor: int) -> None:
    lines = await written(b"one\n\nt\xc3\xa4st", descriptor)
    assert [line["text"] for line in lines] == ["one", "täst"]
    assert {line["event"] for line in lines} == {"child_output"}
    assert {line["program"] for line in lines} == {"body_parser"}


async def test_a_line_cannot_pretend_to_be_another() -> None:
    (line,) = await written(b'\x1b[2K\rlevel=error\x00 \xe2\x80\xa8 \xff{"event": "forged"}\n')
    assert line["event"] == "child_output"
    assert line["text"].isprintable()
    assert line["text"].startswith("\ufffd[2K\ufffdlevel=error\ufffd")


@pytest.mark.long
async def test_long_lines_are_shortened() -> None:
    long, short = await written(b"x" * 3_000_000 + b"\nshort\n")
    assert len(long["text"]) < 600
    assert short["text"] == "short"


async def test_a_flood_is_counted_and_not_logged() -> None:
    lines = await written(b"flood\n" * 100_000, output_lines=5)
    shown = [line for line in lines if line["event"] == "child_output"]
    (omitted,) = [line for line in lines if line["event"] == "child_output_omitted"]
    assert len(shown) == 5
    assert omitted["lines"] == 100_000 - 5


async def test_the_last_words_of_a_process_are_logged() -> None:
    with capture_logs() as logs:
        async with parser_of(repeatable=False) as parser:
            with pytest.raises(Exception, match="died"):
                await parser.run(
                    "a", monotonic() + TIMEOUT_SECONDS, write_and_die, b"Fatal: no disk\n"
                )
    assert "Fatal: no disk" in [line.get("text") for line in logs]


async def test_a_child_that_never_stops_writing_does_not_hold_the_loop() -> None:
    async with parser_of(output_lines=5, cancel_grace_seconds=0) as parser:
        body = b"flood\n" * 10_000_000
        work = asyncio.create_task(parser.run("a", monotonic() + 2, write, body, 2))
        spent = os.times().user
        await asyncio.wait({work})
        assert os.times().user - spent < 1.0
        assert work.exception() is not None
