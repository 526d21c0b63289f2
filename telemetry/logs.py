"""Log lines: an event name and fields; JSON on stderr, or coloured text where a person looks on."""

from __future__ import annotations

import logging
import sys
from typing import Any, cast

import structlog
from structlog.typing import EventDict, WrappedLogger

from telemetry.redaction import redact_log


def configure(level: str, *, process: str) -> None:
    """Set the process's log lines up: from `level` upwards, each with the `process` that wrote it.

    Lines of libraries (uvicorn, grpc, alembic) take the same way. API keys are replaced wherever
    they would appear.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]

    def stamp(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        event.setdefault("process", process)
        return event

    render: Any = (  # Any: structlog's renderers have no common type
        structlog.dev.ConsoleRenderer(pad_event_to=28)
        if sys.stderr.isatty()
        else structlog.processors.JSONRenderer()
    )

    def line(wrapped: WrappedLogger, name: str, event: EventDict) -> str:
        # here at the end nothing gets past: no object's repr, no name of a field, no traceback
        return redact_log(str(render(wrapped, name, event)))

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
                line,
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


def reason_of(error: Exception) -> str:
    """Return the first line of what an error says: drivers add their statements after it."""
    return str(error).partition("\n")[0] or type(error).__name__
