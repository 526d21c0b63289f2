"""Log lines with an event name and fields, on stderr: as JSON, or as text for people.

A file can have them, too, always as JSON.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, cast

from telemetry.log_file import LogFileHandler
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

_OURS = ("gateway", "inference_server", "slipstream", "telemetry")
"""What logs below info. There, libraries log what they send and get: headers, tokens, queries."""


def configure(
    level: str, *, process: str, log_format: str = "auto", file: Path | None = None
) -> None:
    """Configure logging: lines from `level` upwards, each with the name of its `process`.

    As JSON they have its `pid`, too. Lines of libraries (uvicorn, grpc, alembic) get the same
    format. API keys are redacted. `file`, if there is one, gets the lines from level `info`
    upwards, also where stderr does not, as JSON and with the name of this `host`.
    """
    on_terminal = sys.stderr.isatty()
    is_text = log_format == "text" or (log_format == "auto" and on_terminal)
    structlog.configure(
        processors=[*_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    stderr = logging.StreamHandler(sys.stderr)
    stderr.setLevel(level.upper())
    stderr.setFormatter(
        _formatter(text_renderer(colors=on_terminal), process=process)
        if is_text
        else _json_formatter(process=process)
    )
    root = logging.getLogger()
    root.handlers = [stderr]
    if file is not None:
        in_file = LogFileHandler(file)
        in_file.setLevel(min(stderr.level, logging.INFO))
        in_file.setFormatter(_json_formatter(process=process, host=socket.gethostname()))
        root.addHandler(in_file)
    lowest = min(handler.level for handler in root.handlers)
    root.setLevel(max(lowest, logging.INFO))
    for package in _OURS:
        logging.getLogger(package).setLevel(lowest)
    logging.getLogger("alembic").setLevel("WARNING")  # logs routine lines at every start


_SHARED: list[structlog.typing.Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
]
"""What all lines get, those of libraries as well."""


_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}
_CONTROLS_OF_LINES = {code: text for code, text in _CONTROLS.items() if chr(code) not in "\n\t"}


def text_renderer(*, colors: bool) -> Callable[[WrappedLogger, str, EventDict], str]:
    """Return what makes a line for people of an event and its fields.

    Control characters in them are escaped: a value must not act on the terminal, nor look like
    another line.
    """
    render = structlog.dev.ConsoleRenderer(pad_event_to=28, colors=colors)

    def render_text(wrapped: WrappedLogger, name: str, event: EventDict) -> str:
        shown = {
            field: value.translate(_CONTROLS_OF_LINES if field == "exception" else _CONTROLS)
            if isinstance(value, str)
            else value
            for field, value in event.items()
        }
        return render(wrapped, name, shown)

    return render_text


def _json_formatter(**about: str) -> logging.Formatter:
    def add_pid(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        event.setdefault("pid", os.getpid())
        return event

    return _formatter(structlog.processors.JSONRenderer(), add_pid, **about)


def _formatter(
    renderer: Any,  # Any: structlog's renderers have no common type
    *processors: structlog.typing.Processor,
    **about: str,
) -> logging.Formatter:
    """Return what makes lines by `renderer`, each with the fields `about` its process."""

    def add_process(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        for name, value in about.items():
            event.setdefault(name, value)
        return event

    def render_line(wrapped: WrappedLogger, name: str, event: EventDict) -> str:
        # redacted last: keys may be in reprs, field names and tracebacks, too
        return redact_log(str(renderer(wrapped, name, event)))

    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_SHARED,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            add_process,
            *processors,
            render_line,
        ],
    )


def name_task(**about: object) -> None:
    """Add fields to the log lines of this task, and of those that it starts from now on."""
    structlog.contextvars.bind_contextvars(**about)


Forward = Callable[[float, str, str], None]
"""(seconds since the epoch, level, text): takes a line of the log. It must not log, nor block."""


def forward(take: Forward, *, without: Collection[str] = ()) -> None:
    """Have `take` get each line of the log, too, after `configure`; not the events `without`.

    API keys are redacted, and a traceback is several lines. It gets those that stderr gets.
    """
    root = logging.getLogger()
    handler = _ForwardingHandler(take, without)
    handler.setLevel(root.handlers[0].level)
    root.addHandler(handler)


class _ForwardingHandler(logging.Handler):
    """Renders a record as `event name=value …`."""

    def __init__(self, take: Forward, without: Collection[str]) -> None:
        super().__init__()
        self._take = take
        self._without = frozenset(without)
        remove_meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
        self.setFormatter(
            structlog.stdlib.ProcessorFormatter(processors=[remove_meta, _render_plainly])
        )

    def emit(self, record: logging.LogRecord) -> None:
        if isinstance(record.msg, dict) and record.msg.get("event") in self._without:
            return
        try:
            for line in self.format(record).splitlines():
                self._take(record.created, record.levelname.lower(), redact_log(line))
        except Exception:  # noqa: BLE001 - as logging's own handlers: who logs does not fail
            self.handleError(record)


def _render_plainly(_: WrappedLogger, __: str, event: EventDict) -> str:
    """Return the event and its fields, without those that the line has beside its text."""
    fields = {name: value for name, value in event.items() if name not in _BESIDE}
    text = " ".join((str(event.get("event", "")), *(f"{k}={v}" for k, v in fields.items())))
    return "\n".join((text, *filter(None, (event.get("exception"),))))


_BESIDE = frozenset({"event", "level", "timestamp", "exception", "process", "model", "version"})
"""What a line has beside its text, or is the same in all lines of an inference server."""


def logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return a logger: `log.info("run_finished", run_id=…)`."""
    return cast("structlog.stdlib.BoundLogger", structlog.get_logger(name))


def reason_of(error: Exception) -> str:
    """Return the first line of an error's message: database drivers append their statements."""
    return str(error).partition("\n")[0] or type(error).__name__
