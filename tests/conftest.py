"""What holds for all tests: their markers, and cheap password hashes."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
import structlog

from tests.services import declared

# structlog's own traceback shows the values of all variables, which takes seconds of ours
structlog.configure(
    processors=[
        *structlog.get_config()["processors"][:-1],
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
    ]
)

_SERVICE_PARAMETERS = {"postgresql", "redis", "amqp", "rabbitmq"}
_PROCESS_EVENTS = {"subprocess.Popen", "os.fork", "os.posix_spawn"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what runs on a service because of a parameter of its own or of one of its fixtures."""
    for item in items:
        parameters = getattr(item, "callspec", None)
        values = parameters.params.values() if parameters else ()
        if any(isinstance(value, str) and value in _SERVICE_PARAMETERS for value in values):
            item.add_marker(pytest.mark.services)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """Let a test use only what its markers declare."""
    declared.services = item.get_closest_marker("services") is not None
    declared.processes = item.get_closest_marker("processes") is not None or declared.services
    return (yield)


def _refuse_undeclared_processes(event: str, _arguments: object) -> None:
    if event in _PROCESS_EVENTS and not declared.processes:
        declared.processes = True  # the failure itself may have to start one
        pytest.fail("the test starts a process and is not marked `processes`", pytrace=True)


sys.addaudithook(_refuse_undeclared_processes)
