"""What a reader of example code chooses: language, variant, and how it is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Language(StrEnum):
    """What an example is written in."""

    CURL = "curl"
    PYTHON = "python"
    JAVASCRIPT = "javascript"
    TYPESCRIPT = "typescript"
    GO = "go"
    HTTPIE = "httpie"
    GRPC_PYTHON = "grpc_python"
    """Python with tritonclient: it calls the model, not the deployment."""


class Variant(StrEnum):
    """How an example gets its result."""

    WAIT = "wait"
    """In the response to the call."""
    START = "start"
    """Not at all: a command starts a run, and its answer is the run's id."""
    POLL = "poll"
    """By polls of the run that the call has started."""
    EVENTS = "events"
    """From the events of that run, as they happen."""
    BATCH = "batch"
    """For several inputs in one call."""
    WEBHOOK = "webhook"
    """From the webhook: the example is a receiver."""


class KeySource(StrEnum):
    """Where an example has the API key from."""

    MASKED = "masked"
    """The code has the mask of a key, to be replaced by the complete key."""
    ENVIRONMENT = "environment"
    """The environment variable SLIPSTREAM_API_KEY."""


COMMANDS = frozenset({Language.CURL, Language.HTTPIE})
"""Languages whose examples are commands: without retries unless they are asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleChoices:
    """Which examples to write, and how."""

    language: Language | None = None
    """None: all."""
    variant: Variant | None = None
    """None: all."""
    key: KeySource = KeySource.MASKED
    retry: bool | None = None
    """Whether calls are repeated after 429, 503 and lost connections; None: in programs only."""
    version: int | None = None
    """The version to call; None: the live one."""
    input_data: Mapping[str, Any] | None = None
    """What it is called with (Any: JSON); None: the test data."""
