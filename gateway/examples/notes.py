"""What a reader of an example has to know: comments of the code, and sentences beside it. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.deployments.settings import ExecutionMode
from gateway.examples.choices import COMMANDS, Language, Variant
from gateway.examples.example_spec import FETCH, ExampleSpec
from gateway.examples.literals import is_rounded_by_javascript

INPUT_FILE = "input.json"
"""The body of calls whose `input_data` is too long for code."""
_PROXY_SECONDS = 60
"""After which many proxies end a connection on which no answer has come."""
_NODE_SECONDS = 300
"""After which `fetch` of Node gives up, whatever its signal says."""


def notes_of(spec: ExampleSpec) -> Iterator[str]:
    """Yield the notes of an example."""
    if spec.variant is Variant.WEBHOOK:
        yield from _about_receiver(spec)
        return
    if not spec.from_environment:
        yield _about_key(spec)
    if spec.language is Language.GRPC_PYTHON:
        yield "It calls the model itself, in this version after redeploys, too: no run, no webhook."
        return
    if spec.choices.version is not None:
        yield f"It calls version {spec.choices.version}, whichever version is live."
    yield from _about_body(spec)
    yield from _about_retries(spec)
    yield from _about_time(spec)


def _about_receiver(spec: ExampleSpec) -> Iterator[str]:
    yield "SLIPSTREAM_WEBHOOK_SECRET is the webhook's secret, whsec_..."
    if not spec.target.has_webhook:
        command = f"slipstream deployments set {spec.target.deployment_id} --callback-url URL"
        yield f"The deployment has no webhook yet: `{command}` makes one."


def _about_key(spec: ExampleSpec) -> str:
    if spec.has_key:
        return "Replace the masked API key by the complete one, which was shown when it was made."
    create = "slipstream keys create --name NAME"
    if spec.language is not Language.GRPC_PYTHON:
        create += f" --deployment {spec.target.deployment_id}"
    return f"No active API key may call it: `{create}` makes one."


def _about_body(spec: ExampleSpec) -> Iterator[str]:
    if spec.language in FETCH:
        yield "Keep it on a server: a key in a browser is public."
    if spec.reads_file:
        yield f'The body is in {INPUT_FILE}: {{"input_data": {{...}}}}.'
    elif spec.language in FETCH and is_rounded_by_javascript(spec.target.input_data):
        yield "JavaScript rounds integers beyond 2**53 - 1: this input has one."


def _about_retries(spec: ExampleSpec) -> Iterator[str]:
    if spec.choices.retry and spec.language is Language.HTTPIE:
        yield "HTTPie has no retries: curl has them."
    if spec.retries and spec.target.mode is ExecutionMode.FAST:
        yield "Mode fast has no run that a repeated call could join: a repeat is a new call."
    if spec.retries and spec.language is Language.CURL:
        yield "curl also repeats after 408, 500, 502 and 504, and not after a lost connection."
    if spec.follows and spec.language is Language.CURL:
        yield "It needs curl 7.84 or newer."
    if spec.sends_idempotency_key and spec.language in COMMANDS and not spec.from_environment:
        yield "Another call needs another Idempotency-Key: with the same one it is a repeat."


def _about_time(spec: ExampleSpec) -> Iterator[str]:
    if spec.variant is Variant.START:
        yield "The answer comes before the run ends: curl's variants poll and events wait."
    waits = not spec.follows and spec.target.mode is not ExecutionMode.ASYNC
    if waits and spec.target.mode is ExecutionMode.SYNC and spec.seconds > _PROXY_SECONDS:
        yield (
            "Proxies may end a call after 60 s without an answer: for longer runs use the variant "
            "poll, or send `Prefer: wait=55`."
        )
    if waits and spec.language in FETCH and spec.seconds > _NODE_SECONDS:
        yield "Node ends a fetch after 300 s without an answer."
