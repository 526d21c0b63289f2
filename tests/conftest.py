"""What holds for all tests."""

from __future__ import annotations

import structlog

# structlog's own traceback shows the values of all variables, which takes seconds of ours
structlog.configure(
    processors=[
        *structlog.get_config()["processors"][:-1],
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
    ]
)
