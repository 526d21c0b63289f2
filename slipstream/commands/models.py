"""`slipstream models`: the model store, and which of its versions are served."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.errors import GatewayError
from gateway.fleet.schemas import ServerSettingsIn
from gateway.models.schemas import ModelOut, ModelPage
from protos.errors import ErrorCode
from slipstream import options
from slipstream.commands.model_views import (
    manifest_document,
    manifest_facts,
    manifest_tensors,
    model_row,
    server_document,
    server_title,
    wish,
)
from slipstream.session import open_session, validated
from slipstream.terminal import table

commands = typer.Typer(no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Name of the model.", metavar="NAME")]
Which = Annotated[str, typer.Option("--version", help="A number, a label or `latest`.")]
Number = Annotated[int, typer.Option("--version", min=1, help="Number of the version.")]


def register(application: typer.Typer, noun: str, text: str) -> None:
    """Add the commands."""
    application.add_typer(commands, name=noun, help=text)


@commands.command("add")
def add(
    path: Annotated[
        Path, typer.Argument(help="An .onnx file, or a folder with model.onnx.", exists=True)
    ],
    *,
    name: Annotated[str, typer.Option(help="Name of the model.")],
    version: Annotated[
        int | None, typer.Option(min=1, help="Number of the version. Default: the next one.")
    ] = None,
    serve: Annotated[
        bool, typer.Option("--serve", help="Let an inference server run for it.")
    ] = False,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Check a model in a process of its own, then publish it as a version that never changes.

    [dim]slipstream models add resnet.onnx --name resnet --serve[/]
    """
    with open_session(state, as_json=as_json) as session:
        models = session.services.models
        with session.terminal.progress(f"Checking and publishing {path}"):
            manifest = session.run(models.publish(path, name, version))
        views = [f"Model '{name}' version {manifest.version} is published."]
        if serve:
            fleet = session.services.fleet
            server = session.run(fleet.serve_model(name, str(manifest.version)))
            views.append(wish(server))
        session.terminal.show(manifest_document(manifest), *views)


@commands.command("list")
def list_models(
    *, state: options.State = options.DEFAULT_STATE, as_json: options.Json = False
) -> None:
    """List the models by name."""
    with open_session(state, as_json=as_json) as session:
        page = ModelPage.of(session.fetch_all(session.services.models.page))
        servers = session.run(session.services.fleet.store.all())
        rows = [model_row(model, servers) for model in page.items]
        none = "There are no models: publish one with `slipstream models add PATH --name NAME`."
        columns = ("name", "versions", "labels", "inference servers")
        session.terminal.show(page, table(columns, rows, empty=none))


@commands.command("show")
def show(
    name: Name,
    *,
    version: Which = "latest",
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Show one version: where it comes from, what it takes and what it gives."""
    with open_session(state, as_json=as_json) as session:
        manifest = session.run(session.services.models.manifest(name, version))
        document = manifest_document(manifest)
        session.terminal.show(document, manifest_facts(manifest), "", manifest_tensors(manifest))


@commands.command("verify")
def verify(
    name: Name,
    *,
    version: Which = "latest",
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Read every file of a version again, and have the runtime load it."""
    with open_session(state, as_json=as_json) as session:
        store, verifier = session.services.store, session.services.verifier
        number = store.resolve(name, version)
        with session.terminal.progress(f"Checking {name} {number}"):
            problems = store.find_changes(name, number)
            if problems:
                message = f"model '{name}' version {number} is damaged: {'; '.join(problems)}"
                raise GatewayError(ErrorCode.INVALID_MODEL, message)
            verifier.inspect(store.folder(name, number) / "model.onnx")
        document = {"name": name, "version": number, "intact": True}
        session.terminal.show(document, f"Model '{name}' version {number} is intact and loads.")


@commands.command("label")
def label(
    name: Name,
    label: Annotated[str, typer.Argument(help="The label, such as stable.", metavar="LABEL")],
    *,
    version: Annotated[int | None, typer.Option(min=1, help="What it shall mean.")] = None,
    delete: Annotated[bool, typer.Option("--delete", help="Forget the label.")] = False,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Let a label mean a version, or forget the label.

    [dim]slipstream models label resnet stable --version 3[/]
    """
    if (version is None) != delete:
        raise typer.BadParameter("give either --version or --delete")
    with open_session(state, as_json=as_json) as session:
        models = session.services.models
        if version is None:
            session.run(models.delete_label(name, label))
            done = f"Label '{label}' of '{name}' is forgotten."
        else:
            session.run(models.set_label(name, label, version))
            done = f"Label '{label}' of '{name}' means version {version}."
        session.terminal.show(ModelOut.of(session.run(models.get(name))), done)


@commands.command("remove")
def remove(
    name: Name,
    *,
    version: Number,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Delete a version that nothing serves and no deployment runs."""
    with open_session(state, as_json=as_json) as session:
        session.run(session.services.models.remove(name, version))
        document = {"name": name, "version": version, "removed": True}
        session.terminal.show(document, f"Model '{name}' version {version} is removed.")


@commands.command("serve")
def serve(
    name: Name,
    *,
    version: Which = "latest",
    idle_timeout: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="SECONDS",
            help="Without a call for so long it sleeps, until a call wakes it; 0: never.",
        ),
    ] = None,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Let an inference server run for a version; one that has failed is tried again.

    One that runs already takes another idle time-out over when it starts next.

    [dim]slipstream models serve resnet --idle-timeout 300[/]
    """
    with open_session(state, as_json=as_json) as session:
        given = {} if idle_timeout is None else {"idle_timeout_seconds": idle_timeout or None}
        settings = validated(ServerSettingsIn, **given).settings()
        server = session.run(session.services.fleet.serve_model(name, version, **settings))
        session.terminal.show(server_document(server), wish(server))


@commands.command("unserve")
def unserve(
    name: Name,
    *,
    version: Annotated[
        str | None, typer.Option(help="A number, a label or `latest`. Default: every version.")
    ] = None,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Let the inference servers of a model, or of one version, finish their calls and go."""
    with open_session(state, as_json=as_json) as session:
        number = version and session.services.store.resolve(name, version)
        stopped = [
            session.run(session.services.fleet.store.stop(server.id))
            for server in session.run(session.services.fleet.store.running_or_asleep())
            if server.model == name and number in (None, server.version)
        ]
        if not stopped:
            which = f"version {version} of " if version else ""
            message = f"nothing serves {which}'{name}': see `slipstream models list`"
            raise GatewayError(ErrorCode.NO_ACTIVE_INFERENCE, message)
        document = {"items": [server_document(server) for server in stopped], "next_cursor": None}
        views = [f"{server_title(server)} is to stop." for server in stopped]
        session.terminal.show(document, *views)
