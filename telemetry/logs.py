"""Log lines: an event name and fields; JSON on stderr, or coloured text where a person looks on."""

from __future__ import annotations

import logging
import re
import sys
from typing import Any, cast

import structlog
from structlog.typing import EventDict, WrappedLogger

_KEY = re.compile(r"sk-[0-9A-Za-z_-]{8,}")


def configure(level: str, *, process: str) -> None:
    """Set the process's log lines up: from `level` upwards, each with the `process` that wrote it.

    Lines of libraries (uvicorn, grpc, alembic) take the same way. API keys are replaced wherever
    they would appear.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        redact,
    ]

    def stamp(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        event.setdefault("process", process)
        return event

    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(pad_event_to=28)
        if sys.stderr.isatty()
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                stamp,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    logging.getLogger("alembic").setLevel("WARNING")  # tells of nothing, at every start


def logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return a logger: `log.info("run_finished", run_id=…)`."""
    return cast("structlog.stdlib.BoundLogger", structlog.get_logger(name))


def redact(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Replace everything that looks like an API key."""
    for name, value in event.items():
        event[name] = _redacted(value)
    return event


def _redacted(value: Any) -> Any:  # Any: a log field can be anything
    if isinstance(value, str):
        return _KEY.sub("sk-********", value)
    if isinstance(value, dict):
        return {name: _redacted(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_redacted(item) for item in value]
    return value
