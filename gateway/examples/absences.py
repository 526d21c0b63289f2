"""Pairs of language and variant that have no example, each with its reason. Pure."""

from __future__ import annotations

from gateway.deployments.settings import ExecutionMode
from gateway.examples.choices import COMMANDS, Language, Variant
from gateway.examples.example_spec import ExampleSpec

_WAITING_FOR_ASYNC = (
    "the mode is async: calls are answered with the id of a run, before it ends. Use the variant "
    "poll or events, or set the mode to sync"
)
_START_OF_SYNC = (
    "the mode is sync: calls are answered with the result. Use the variant wait, or poll for a run "
    "that may take long"
)
_PROGRAMS_FOLLOW = "a program starts its run and follows it: use the variant poll or events"
_RUN_OF_FAST = (
    "the mode is fast: calls are answered with the result, and there is no run to follow. Use the "
    "variant wait"
)
_HTTPIE_LOOP = (
    "HTTPie sends one request, and a run is followed by several: use curl, or a programming "
    "language"
)
_GRPC_CALLS_ONLY = (
    "gRPC calls the model and bypasses runs, batches and webhooks: use the variant wait"
)
_COMMAND_RECEIVES_NOTHING = (
    "a command sends requests, and cannot receive a webhook: use a programming language, or try it "
    "with `slipstream webhooks listen`"
)


_LONG_BATCH = (
    "the test data is too long for code, and the file that a command sends in its place holds one "
    "input: use a programming language"
)


def reason_for_absence(spec: ExampleSpec) -> str | None:
    """Return why there is no such example; None: there is one."""
    if spec.language is Language.GRPC_PYTHON:
        return _reason_of_grpc(spec)
    if spec.language in COMMANDS:
        reason = _reason_of_command(spec)
        if reason is not None:
            return reason
    elif spec.variant is Variant.START:
        return _PROGRAMS_FOLLOW
    return _reason_of_mode(spec)


def _reason_of_mode(spec: ExampleSpec) -> str | None:
    mode = spec.target.mode
    if spec.variant is Variant.WAIT and mode is ExecutionMode.ASYNC:
        return _WAITING_FOR_ASYNC
    if spec.variant is Variant.START and mode is ExecutionMode.SYNC:
        return _START_OF_SYNC
    if (spec.follows or spec.variant is Variant.START) and mode is ExecutionMode.FAST:
        return _RUN_OF_FAST
    return None


def _reason_of_grpc(spec: ExampleSpec) -> str | None:
    if spec.variant is not Variant.WAIT:
        return _GRPC_CALLS_ONLY
    grpc = spec.target.grpc
    return grpc if isinstance(grpc, str) else None


def _reason_of_command(spec: ExampleSpec) -> str | None:
    if spec.variant is Variant.WEBHOOK:
        return _COMMAND_RECEIVES_NOTHING
    if spec.variant is Variant.BATCH and spec.reads_file:
        return _LONG_BATCH
    if spec.follows and spec.language is Language.HTTPIE:
        return _HTTPIE_LOOP
    return None
