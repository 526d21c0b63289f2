"""Log lines with an event name and fields, on stderr: as JSON, or as text for people."""

from __future__ import annotations

import logging
import sys
from typing import Any, cast

from telemetry.redaction import redact_log

# structlog imports rich where it is installed, to format tracebacks, which we format without it.
# That is a seventh of an inference server's start. None makes `import rich` fail, and structlog go
# on without; the command line imports rich later.
_hide_rich = "rich" not in sys.modules
if _hide_rich:
    sys.modules["rich"] = None  # type: ignore[assignment]  # typed as modules only
import structlog  # noqa: E402
from structlog.typing import EventDict, WrappedLogger  # noqa: E402

if _hide_rich:
    del sys.modules["rich"]


FORMATS = ("auto", "text", "json")
"""How lines look; `auto` is text on a terminal, and JSON elsewhere."""


def configure(level: str, *, process: str, log_format: str = "auto") -> None:
    """Configure logging: lines from `level` upwards, each with the name of its `process`.

    Lines of libraries (uvicorn, grpc, alembic) get the same format. API keys are redacted.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]

    def add_process(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        event.setdefault("process", process)
        return event

    on_terminal = sys.stderr.isatty()
    is_text = log_format == "text" or (log_format == "auto" and on_terminal)
    renderer: Any = (  # Any: structlog's renderers have no common type
        structlog.dev.ConsoleRenderer(pad_event_to=28, colors=on_terminal)
        if is_text
        else structlog.processors.JSONRenderer()
    )

    def render_line(wrapped: WrappedLogger, name: str, event: EventDict) -> str:
        # redacted last: keys may be in reprs, field names and tracebacks, too
        return redact_log(str(renderer(wrapped, name, event)))

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
                add_process,
                render_line,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    logging.getLogger("alembic").setLevel("WARNING")  # logs routine lines at every start


def logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return a logger: `log.info("run_finished", run_id=…)`."""
    return cast("structlog.stdlib.BoundLogger", structlog.get_logger(name))


def reason_of(error: Exception) -> str:
    """Return the first line of an error's message: database drivers append their statements."""
    return str(error).partition("\n")[0] or type(error).__name__
