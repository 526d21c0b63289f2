"""`slipstream models`: the model store, and which of its versions are served."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from gateway.auth.model_access import Visibility
from gateway.errors import GatewayError
from gateway.fleet.schemas import ServerSettingsIn
from gateway.fleet.states import Batching
from gateway.models.ownership import OwnershipChange
from gateway.models.schemas import ChangedModelOut, ManifestOut, ModelOut, ModelPage
from model_store.names import MODEL_FILE
from model_store.tensor_names import TensorNames
from protos.errors import ErrorCode
from slipstream import options
from slipstream.commands import model_starter, server_logs
from slipstream.commands.model_views import (
    manifest_document,
    manifest_facts,
    manifest_tensors,
    model_columns,
    server_document,
    server_title,
    started_lines,
)
from slipstream.commands.server_options import (
    BatchingOption,
    HostLabels,
    IdleTimeout,
    MaxRunSeconds,
    Replicas,
    TargetQueue,
    server_settings,
)
from slipstream.commands.tables import model_list
from slipstream.failures import ExitStatus
from slipstream.session import open_session, validated
from slipstream.state_location import Absent

commands = typer.Typer(no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Name of the model.", metavar="NAME")]
Which = Annotated[str, typer.Option("--version", help="A number, a label or `latest`.")]
Columns = Annotated[
    str | None,
    typer.Option(
        help="Names of an input's columns, such as age,income: rows may then be objects.",
        metavar="NAMES",
    ),
]
Classes = Annotated[
    str | None,
    typer.Option(
        help="Names of the classes of an output with probabilities, such as stays,leaves.",
        metavar="NAMES",
    ),
]
Private = Annotated[
    bool | None,
    typer.Option(
        "--private/--shared",
        help="Whether only its owner, admins and owners may use it, or every user.",
        show_default=False,
    ),
]
Owner = Annotated[
    str | None,
    typer.Option(help="The user it belongs to: e-mail address or id.", metavar="USER"),
]


def register(application: typer.Typer, noun: str, text: str) -> None:
    """Add the commands."""
    model_starter.add_to(commands)
    server_logs.add_to(commands)
    application.add_typer(commands, name=noun, help=text)


@commands.command("add")
def add(
    paths: Annotated[
        list[Path],
        typer.Argument(
            help="An .onnx file, or a folder with model.onnx; or several.",
            metavar="PATH...",
            exists=True,
        ),
    ],
    *,
    name: Annotated[
        str | None, typer.Option(help="Name of the model. Default: that of the file.")
    ] = None,
    version: Annotated[
        int | None, typer.Option(min=1, help="Number of the version. Default: the next one.")
    ] = None,
    columns: Columns = None,
    classes: Classes = None,
    private: Private = None,
    owner: Owner = None,
    serve: Annotated[
        bool, typer.Option("--serve", help="Start an inference server for it.")
    ] = False,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Check models in a separate process, then publish each as an immutable version.

    A new model belongs to the installation and is shared, unless options say otherwise.

    $ slipstream models add resnet.onnx --name resnet --serve
    $ slipstream models add models/*.onnx
    $ slipstream models add churn.onnx --columns age,income --classes stays,leaves
    """
    is_one = len(paths) == 1
    if not is_one and (name, version, columns, classes) != (None,) * 4:
        message = "--name, --version, --columns and --classes are for one model"
        raise typer.BadParameter(message)
    published, refused = [], []
    with open_session(state, as_json=as_json, absent=Absent.CREATE) as session:
        services, terminal = session.services, session.terminal
        names = TensorNames.parse(columns, classes)
        owner_id = None if owner is None else session.run(services.users.find(owner)).id

        def publish(path: Path) -> tuple[ManifestOut, list[str]]:
            work = services.models.publish(
                None,
                path,
                name or file_name(path),
                version,
                visibility=_visibility(private),
                owner_id=owner_id,
                names=names,
            )
            manifest = ManifestOut.of(session.run(work))
            published.append(manifest_document(manifest))
            lines = [f"Model '{manifest.name}' version {manifest.version} is published."]
            if serve:
                which = str(manifest.version)
                started = services.fleet.serve_model(None, manifest.name, which)
                lines += started_lines(session, session.run(started))
            return manifest, lines

        with services.verifier.one_process():
            for number, path in enumerate(paths, 1):
                of_all = "" if is_one else f", {number} of {len(paths)}"
                try:
                    with terminal.progress(f"Checking and publishing {path}{of_all}"):
                        manifest, lines = publish(path)
                except GatewayError as error:
                    if is_one:
                        raise
                    why = {"code": error.code, "message": error.message}
                    refused.append({"path": str(path), **why})
                    terminal.warn([f"{path}: {error.message}"])
                    continue
                terminal.warn(warning.message for warning in manifest.warnings)
                if is_one or not as_json:
                    terminal.show(published[-1], *lines)
        if not is_one:
            terminal.show({"items": published, "refused": refused})
    if refused:
        raise typer.Exit(ExitStatus.REFUSED)


def file_name(path: Path) -> str:
    """Return the name of a model without `--name`: of its file, or of its folder."""
    is_file = path.name != MODEL_FILE and path.is_file()
    return path.stem if is_file else (path.parent if path.is_file() else path).resolve().name


@commands.command("list")
def list_models(
    *,
    wide: options.Wide = False,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """List the models by name."""
    with open_session(state, as_json=as_json, wide=wide) as session:
        models = session.services.models
        page = ModelPage.of(session.fetch_all(partial(models.page, None)))
        owners = {
            owner_id: session.run(session.services.users.get(owner_id)).email
            for owner_id in {model.owner_id for model in page.items}
            if owner_id is not None
        }
        servers = session.run(session.services.fleet.store.all())
        none = "There are no models: publish one with `slipstream models add PATH --name NAME`."
        session.terminal.show(
            page, model_list(page.items, model_columns(servers, owners), empty=none)
        )


@commands.command("show")
def show(
    name: Name,
    *,
    version: Which = "latest",
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Show one version: its files, its inputs and its outputs."""
    with open_session(state, as_json=as_json) as session:
        manifest = session.run(session.services.models.manifest(None, name, version))
        document = manifest_document(ManifestOut.of(manifest))
        servers = session.run(session.services.fleet.store.with_models([name]))
        batching = [it.batching for it, _ in servers if it.version == manifest.version]
        shown = manifest_facts(manifest, batching[0] if batching else Batching.AUTO)
        session.terminal.show(document, shown, "", manifest_tensors(manifest))


@commands.command("verify")
def verify(
    name: Name,
    *,
    version: Which = "latest",
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Verify the checksums of a version's files, and load it in a separate process."""
    with open_session(state, as_json=as_json) as session:
        store, verifier = session.services.store, session.services.verifier
        number = store.resolve(name, version)
        with session.terminal.progress(f"Checking {name} {number}"):
            problems = store.find_changes(name, number)
            if problems:
                message = f"model '{name}' version {number} is damaged: {'; '.join(problems)}"
                raise GatewayError(ErrorCode.INVALID_MODEL, message)
            verifier.inspect(store.fetch(name, number) / name / str(number) / MODEL_FILE)
        document = {"name": name, "version": number, "intact": True}
        session.terminal.show(document, f"Model '{name}' version {number} is intact and loads.")


@commands.command("label")
def label(
    name: Name,
    label: Annotated[str, typer.Argument(help="The label, such as stable.", metavar="LABEL")],
    *,
    version: Annotated[int | None, typer.Option(min=1, help="Version to point it at.")] = None,
    delete: Annotated[bool, typer.Option("--delete", help="Delete the label.")] = False,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Point a label at a version, or delete it.

    $ slipstream models label resnet stable --version 3
    """
    if (version is None) != delete:
        raise typer.BadParameter("give either --version or --delete")
    with open_session(state, as_json=as_json) as session:
        models = session.services.models
        if version is None:
            session.run(models.delete_label(None, name, label))
            done = f"Label '{label}' of '{name}' is deleted."
        else:
            session.run(models.set_label(None, name, label, version))
            done = f"Label '{label}' of '{name}' points at version {version}."
        session.terminal.show(ModelOut.of(session.run(models.get(None, name))), done)


@commands.command("set")
def set_ownership(
    name: Name,
    *,
    private: Private = None,
    owner: Owner = None,
    no_owner: Annotated[
        bool, typer.Option("--no-owner", help="It is to belong to the installation.")
    ] = False,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Change who may use a model, or whose it is.

    Deployments of others that call a model keep calling the version that they pinned when it
    becomes private.

    $ slipstream models set resnet --private --owner ada@example.com
    """
    if private is None and owner is None and not no_owner:
        raise typer.BadParameter("give --private, --shared, --owner or --no-owner")
    if owner is not None and no_owner:
        raise typer.BadParameter("give either --owner or --no-owner")
    with open_session(state, as_json=as_json) as session:
        change: OwnershipChange = {}
        if (visibility := _visibility(private)) is not None:
            change["visibility"] = visibility
        if owner is not None:
            change["owner_id"] = session.run(session.services.users.find(owner)).id
        if no_owner:
            change["owner_id"] = None
        changed = session.run(session.services.models.change(None, name, **change))
        out = ChangedModelOut.of_changed(changed)
        line = f"Model '{name}' is {out.visibility}."
        if out.visibility == Visibility.PRIVATE and out.deployments_of_others:
            count = out.deployments_of_others
            line += f" Deployments of others that keep calling the version they pinned: {count}."
        session.terminal.show(out, line)


@commands.command("remove")
def remove(
    name: Name,
    *,
    version: Annotated[
        int | None, typer.Option("--version", min=1, help="Number of the version.")
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="Every version.")] = False,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Delete a version, or all, if no inference server and no deployment uses it.

    With --all, the first version in use ends the command.

    $ slipstream models remove churn --version 3
    $ slipstream models remove churn --all
    """
    if (version is None) != all_:
        raise typer.BadParameter("give either --version or --all")
    with open_session(state, as_json=as_json) as session:
        models = session.services.models
        removed = []
        known = session.run(models.get(None, name)).versions if version is None else [version]
        for number in known:
            session.run(models.remove(None, name, number))
            removed.append({"name": name, "version": number, "removed": True})
            if not as_json:
                session.terminal.show(removed[-1], f"Model '{name}' version {number} is removed.")
        if as_json:
            session.terminal.show({"items": removed} if all_ else removed[0])


@commands.command("serve")
def serve(
    name: Name,
    *,
    version: Which = "latest",
    idle_timeout: IdleTimeout = None,
    replicas: Replicas = None,
    target_queue: TargetQueue = None,
    on: HostLabels = None,
    batching: BatchingOption = None,
    max_run_seconds: MaxRunSeconds = None,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Start an inference server for a version; a failed one is started again.

    A running one starts or stops replicas at once. The labels of the machines are those of
    `slipstream hosts list`.

    $ slipstream models serve resnet --replicas 2 --idle-timeout 300
    $ slipstream models serve resnet --replicas 1..8 --target-queue 2 --on zone=b
    $ slipstream models serve encoder --batching declared
    $ slipstream models serve writer --max-run-seconds 60
    """
    given = server_settings(
        idle_timeout=idle_timeout,
        replicas=replicas,
        target_queue=target_queue,
        on=on,
        batching=batching,
        max_run_seconds=max_run_seconds,
    )
    with open_session(state, as_json=as_json) as session:
        settings = validated(ServerSettingsIn, **given).settings()
        server = session.run(session.services.fleet.serve_model(None, name, version, **settings))
        session.terminal.show(server_document(server), *started_lines(session, server, given))


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
    """Stop the inference servers of a model, or of one version, once their calls are answered."""
    with open_session(state, as_json=as_json) as session:
        number = version and session.services.store.resolve(name, version)
        stopped = [
            session.run(session.services.fleet.store.stop(server.id))
            for server in session.run(session.services.fleet.store.running_or_asleep())
            if server.model == name and number in (None, server.version)
        ]
        if not stopped:
            which = f"version {version} of " if version else ""
            message = f"no inference server for {which}'{name}': see `slipstream models list`"
            raise GatewayError(ErrorCode.NO_ACTIVE_INFERENCE, message)
        document = {"items": [server_document(server) for server in stopped], "next_cursor": None}
        views = [f"Stopping {server_title(server)}." for server in stopped]
        session.terminal.show(document, *views)


def _visibility(private: bool | None) -> Visibility | None:
    if private is None:
        return None
    return Visibility.PRIVATE if private else Visibility.SHARED
