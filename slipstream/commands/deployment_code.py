"""`slipstream deployments code`."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.errors import GatewayError
from gateway.examples.choices import ExampleChoices, KeySource, Language, Variant
from gateway.examples.generator import AbsentExample, Example, ExampleSet
from gateway.examples.languages import PROFILES
from gateway.examples.schemas import ExampleList
from protos.errors import ErrorCode
from slipstream import options
from slipstream.commands.deployment_versions import DeploymentId
from slipstream.session import CommandSession, open_session
from slipstream.terminal import Terminal

Key = Annotated[
    KeySource,
    typer.Option(help="The mask of a key, or the environment variable SLIPSTREAM_API_KEY."),
]


def add_to(commands: typer.Typer) -> None:
    """Add the command."""
    commands.command("code")(code)


def code(
    deployment_id: DeploymentId,
    *,
    language: Annotated[
        Language | None, typer.Option(help="Default: curl; with --json all.")
    ] = None,
    variant: Annotated[
        Variant | None,
        typer.Option(help="Default: wait; in mode async start, in programs poll. With --json all."),
    ] = None,
    retry: Annotated[
        bool | None,
        typer.Option(
            "--retry/--no-retry",
            help="Repeat calls after 429, 503 and lost connections. Default: in programs only.",
        ),
    ] = None,
    key: Key = KeySource.MASKED,
    version: Annotated[
        int | None, typer.Option(min=1, help="Call this version; default: the live one.")
    ] = None,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Print code that calls a deployment, with the test data of its flow.

    Notes, and how to install and run it, are printed to stderr. Variants: wait for the answer,
    start a run, poll it or follow its events, send a batch, receive the webhook.

    $ slipstream deployments code 0b9c… --language python > call_deployment.py
    $ slipstream deployments code 0b9c… --language javascript --variant poll --key environment
    """
    with open_session(state, as_json=as_json) as session:
        choices = ExampleChoices(
            language=language, variant=variant, key=key, retry=retry, version=version
        )
        show_code(session, deployment_id, choices, as_json=as_json)


def show_code(
    session: CommandSession, deployment_id: str, choices: ExampleChoices, *, as_json: bool
) -> None:
    """Show one example, by default of curl, or as JSON all that are chosen."""
    work = session.services.examples.examples(
        session.profile_id, deployment_id, choices, url=session.public_url
    )
    written = session.run(work)
    if as_json:
        session.terminal.show(ExampleList.of(written))
        return
    chosen = _chosen(written, choices.language or Language.CURL, choices.variant)
    _show(session.terminal, chosen, written)


def _chosen(written: ExampleSet, language: Language, variant: Variant | None) -> Example:
    """Return the example to print: of a given variant, or the first that there is."""
    for example in written.items:
        if example.language is language and variant in (None, example.variant):
            return example
    raise _absent(next(one for one in written.absent if one.language is language))


def _absent(absent: AbsentExample) -> GatewayError:
    message = f"language {absent.language}, variant {absent.variant}: {absent.reason}"
    return GatewayError(ErrorCode.VALIDATION_FAILED, message)


def _show(terminal: Terminal, example: Example, written: ExampleSet) -> None:
    terminal.note(example.title)
    for note in example.notes:
        terminal.note(note)
    if written.input_file is not None and not example.body_slots:
        name = written.input_file.name
        terminal.note(f"Write {name}: add --json | jq -r .input_file.content > {name}")
    if example.install is not None:
        terminal.note(f"Install: {example.install}")
    terminal.note(f"Run: {example.run}")
    terminal.show_code(example.code, PROFILES[example.language].lexer)
