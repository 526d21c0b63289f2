"""`slipstream models`: the model store, and which of its versions are served."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import RenderableType

from gateway.errors import GatewayError
from gateway.fleet.schemas import ServerOut, ServerSettingsIn
from gateway.fleet.states import Desired, State
from gateway.models.schemas import ManifestOut, ModelOut, ModelPage
from gateway.storage.tables import InferenceServer
from model_store.manifest import Manifest, TensorSpec
from protos.errors import ErrorCode
from slipstream import options
from slipstream.commands.tables import Columns, model_table, shortened
from slipstream.session import open_session, validated
from slipstream.terminal import facts, table

commands = typer.Typer(no_args_is_help=True)
_MAX_CLASSES_LENGTH = 60
"""Characters."""

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
        bool, typer.Option("--serve", help="Start an inference server for it.")
    ] = False,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Check a model in a separate process, then publish it as an immutable version.

    [dim]slipstream models add resnet.onnx --name resnet --serve[/]
    """
    with open_session(state, as_json=as_json) as session:
        models = session.services.models
        with session.terminal.progress(f"Checking and publishing {path}"):
            manifest = session.run(models.publish(path, name, version))
        published = ManifestOut.of(manifest)
        session.terminal.warn(warning.message for warning in published.warnings)
        views = [f"Model '{name}' version {manifest.version} is published."]
        if serve:
            fleet = session.services.fleet
            server = session.run(fleet.serve_model(name, str(manifest.version)))
            views.append(_started_line(server))
        session.terminal.show(_manifest_document(published), *views)


@commands.command("list")
def list_models(
    *, state: options.State = options.DEFAULT_STATE, as_json: options.Json = False
) -> None:
    """List the models by name."""
    with open_session(state, as_json=as_json) as session:
        page = ModelPage.of(session.fetch_all(session.services.models.page))
        servers = session.run(session.services.fleet.store.all())
        none = "There are no models: publish one with `slipstream models add PATH --name NAME`."
        session.terminal.show(page, model_table(page.items, _columns(servers), empty=none))


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
        manifest = session.run(session.services.models.manifest(name, version))
        document = _manifest_document(ManifestOut.of(manifest))
        session.terminal.show(document, _manifest_facts(manifest), "", _manifest_tensors(manifest))


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
            verifier.inspect(store.folder(name, number) / "model.onnx")
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

    [dim]slipstream models label resnet stable --version 3[/]
    """
    if (version is None) != delete:
        raise typer.BadParameter("give either --version or --delete")
    with open_session(state, as_json=as_json) as session:
        models = session.services.models
        if version is None:
            session.run(models.delete_label(name, label))
            done = f"Label '{label}' of '{name}' is deleted."
        else:
            session.run(models.set_label(name, label, version))
            done = f"Label '{label}' of '{name}' points at version {version}."
        session.terminal.show(ModelOut.of(session.run(models.get(name))), done)


@commands.command("remove")
def remove(
    name: Name,
    *,
    version: Number,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Delete a version that no inference server and no deployment uses."""
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
            help="Sleep after so long without a call, until the next one; 0: never.",
        ),
    ] = None,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Start an inference server for a version; a failed one is started again.

    A running one uses a new idle timeout from its next start.

    [dim]slipstream models serve resnet --idle-timeout 300[/]
    """
    with open_session(state, as_json=as_json) as session:
        given = {} if idle_timeout is None else {"idle_timeout_seconds": idle_timeout or None}
        settings = validated(ServerSettingsIn, **given).settings()
        server = session.run(session.services.fleet.serve_model(name, version, **settings))
        session.terminal.show(_server_document(server), _started_line(server))


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
        document = {"items": [_server_document(server) for server in stopped], "next_cursor": None}
        views = [f"Stopping {_server_title(server)}." for server in stopped]
        session.terminal.show(document, *views)


def _columns(servers: Sequence[InferenceServer]) -> Columns[ModelOut]:
    def states(model: ModelOut) -> list[str]:
        return [
            f"{server.version} {_state(server)}" for server in servers if server.model == model.name
        ]

    return {
        "name": "name",
        "versions": "versions",
        "labels": "labels",
        "inference servers": states,
    }


def _state(server: InferenceServer) -> str:
    if server.desired == Desired.ASLEEP:
        return server.desired
    explained = server.state in {State.FAILED, State.UNRESPONSIVE} and server.reason
    return f"{server.state}: {server.reason}" if explained else server.state


def _server_document(server: InferenceServer) -> dict[str, Any]:
    """Return an inference server as REST does. Any: a JSON document."""
    return ServerOut.model_validate(server).model_dump(mode="json")


def _server_title(server: InferenceServer) -> str:
    return f"the inference server for {server.model} v{server.version}"


def _started_line(server: InferenceServer) -> str:
    seconds = server.idle_timeout_seconds
    sleeps = "" if seconds is None else f"; it sleeps after {seconds} s without a call"
    return f"Starting {_server_title(server)}{sleeps}."


def _manifest_document(manifest: Manifest) -> Any:
    """Return the manifest as JSON. Any: a JSON document."""
    return orjson.loads(manifest.to_json())


def _manifest_facts(manifest: Manifest) -> RenderableType:
    return facts(
        model=manifest.name,
        version=manifest.version,
        created=manifest.created_at,
        sha256=manifest.sha256,
        files=[f"{file.path} ({file.size:,} bytes)" for file in manifest.files],
        producer=manifest.producer,
        opset=[f"{domain} {number}" for domain, number in manifest.opset.items()],
    )


def _manifest_tensors(manifest: Manifest) -> RenderableType:
    rows = [
        (direction, spec.name, spec.datatype, _shape(spec.shape), _remark(spec))
        for direction, specs in (("in", manifest.inputs), ("out", manifest.outputs))
        for spec in specs
    ]
    rows += [("in", n, kind, "", "not served") for n, kind in manifest.unsupported_inputs.items()]
    rows += [("out", n, kind, "", "not served") for n, kind in manifest.unsupported_outputs.items()]
    return table(("", "tensor", "datatype", "shape", ""), rows, empty="It has no tensors.")


def _remark(spec: TensorSpec) -> str:
    if spec.class_labels is not None:
        return f"classes {shortened(', '.join(map(str, spec.class_labels)), _MAX_CLASSES_LENGTH)}"
    return "optional" * spec.optional


def _shape(shape: tuple[int, ...] | None) -> str:
    if shape is None:
        return "any"
    return f"[{', '.join('any' if size < 0 else str(size) for size in shape)}]"
