"""`slipstream deploy`: from a model or a flow to an endpoint, and to its next version."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

import typer

from gateway.deployments.deployment_view import DeploymentView
from gateway.deployments.plan import KeyChoice, Launch
from gateway.deployments.readiness import ReadinessState
from gateway.deployments.rollout_settings import Strategy
from gateway.deployments.rollouts.schemas import RolloutIn, RolloutOut
from gateway.deployments.schemas import DeploymentOut, NewDeploymentOut
from gateway.deployments.settings import DeploymentSettings, ExecutionMode
from gateway.deployments.store import DeploymentFilter
from gateway.deployments.version_schemas import DifferenceOut
from gateway.deployments.versions import DRAFT, LIVE
from gateway.errors import GatewayError
from gateway.flows.schemas import FlowIn
from gateway.flows.service import Draft
from gateway.flows.spec import NodeType
from gateway.models.pins import Pin
from gateway.storage.tables import Flow
from model_store import files
from model_store.manifest import Manifest
from model_store.names import MODEL_FILE
from model_store.tensor_names import TensorNames
from protos.errors import ErrorCode
from slipstream import options
from slipstream.commands.deployment_call import call_lines
from slipstream.commands.deployment_versions import warn_about
from slipstream.commands.flow_checks import read_flow
from slipstream.commands.json_arguments import file_content, json_object
from slipstream.commands.models import Classes, Columns, file_name
from slipstream.commands.rollouts import rollout_text
from slipstream.commands.version_diff import difference_views
from slipstream.session import CommandSession, open_session, validated
from slipstream.state_location import Absent
from slipstream.supervisor.running_supervisor import running_supervisor

_LATEST = "latest"
_EXAMPLE = "--example"
_NOTHING: Mapping[str, Any] = {"additionalProperties": False}
"""The schema where a model takes nothing. Any: JSON."""
_SHOWN_CHARACTERS = 200
_POLL_SECONDS = 0.1
_BEFORE_READY = (ReadinessState.BOOTING, ReadinessState.DRAINING)


def register(application: typer.Typer, noun: str, text: str) -> None:
    """Add the command."""
    application.command(noun, help=f"{text}\n\n{deploy.__doc__}")(deploy)


def deploy(
    source: Annotated[
        str,
        typer.Argument(
            help="An .onnx file, a folder with model.onnx, a flow.json, or the name of a model.",
            metavar="SOURCE",
        ),
    ],
    *,
    name: Annotated[
        str | None,
        typer.Option(help="Name of the deployment, and of a new model. Default: of the source."),
    ] = None,
    mode: Annotated[
        ExecutionMode | None,
        typer.Option(help="Of a new deployment. Default: fast, or sync if the flow needs that."),
    ] = None,
    canary: Annotated[
        int | None,
        typer.Option(
            help="Give the new version this many per cent of the calls.",
            metavar="PERCENT",
            min=1,
            max=100,
        ),
    ] = None,
    example: Annotated[
        str | None,
        typer.Option(
            help="An input_data for a model's flow, as JSON; - is stdin. Default: made from the "
            "model's signature.",
            metavar="FILE",
        ),
    ] = None,
    columns: Columns = None,
    classes: Classes = None,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait until the deployment is ready.")
    ] = True,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Publish the model, make the flow around it, and print the call, with a key.

    Again, with a changed file, it becomes the next version of the same deployment. What an
    interrupted command has left undone, the next one does.

    $ slipstream deploy churn.onnx
    $ slipstream deploy churn.onnx --canary 10
    $ slipstream deploy churn.onnx --columns age,income --classes stays,leaves
    $ slipstream deploy churn.onnx --example rows.json
    $ slipstream deploy flow.json --mode async
    """
    with open_session(state, as_json=as_json, absent=Absent.CREATE) as session:
        given = _read(source, name, example, columns, classes)
        live = _deployment(session, given.name)
        flow = _flow(session, live, given)
        _check_options(given, live, mode, canary)
        flow = _saved(session, given, flow, _wanted(session, given))
        if live is not None:
            _update(session, live, canary)
        else:
            again = f"slipstream deploy {_word(source)}"
            again += "" if name is None else f" --name {_word(name)}"
            _create(session, flow, mode, again, wait=wait)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """What the command line names."""

    name: str
    """Of the flow and of its deployment."""
    flow: Draft | None = None
    """None: the source is a model."""
    model: str = ""
    path: Path | None = None
    """Of the model; None: one of the store."""
    example: Mapping[str, Any] | None = None
    """An `input_data` of the model (Any: JSON); None: one is made from its signature."""
    columns: str | None = None
    """Of the model, with commas between them; None: those of its newest version."""
    classes: str | None = None


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The flow to deploy."""

    draft: Draft
    schema: Mapping[str, Any] | None = None
    """Of a model's `input_data` (Any: JSON); None: it takes nothing."""


def _read(
    source: str,
    name: str | None,
    example: str | None,
    columns: str | None,
    classes: str | None,
) -> _Source:
    path = Path(source)
    if (columns, classes) != (None, None) and (path.suffix == ".json" or not path.exists()):
        message = f"--columns and --classes: expected the file or folder of a model, got '{source}'"
        raise GatewayError(ErrorCode.VALIDATION_FAILED, f"{message}: versions keep their names")
    if path.is_file() and path.suffix == ".json":
        if example is not None:
            message = "--example: expected a model, got a flow: its example is the `test_data` of "
            raise GatewayError(ErrorCode.VALIDATION_FAILED, f"{message}its api_input node")
        flow = read_flow(path.read_bytes())
        flow = flow if name is None else replace(flow, name=name)
        return _Source(name=flow.name, flow=flow)
    given = None if example is None else json_object(file_content(example, _EXAMPLE), _EXAMPLE)
    if path.exists():
        model = name or file_name(path)
        return _Source(
            name=model,
            model=model,
            path=path,
            example=given,
            columns=columns,
            classes=classes,
        )
    return _Source(name=name or source, model=source, example=given)


def _wanted(session: CommandSession, source: _Source) -> _Wanted:
    """Return the flow to deploy; publish the model, if it is a file that the store lacks."""
    if source.flow is not None:
        return _Wanted(source.flow)
    if source.path is None:
        manifest = _stored(session, source.model)
    else:
        manifest = _published(session, source.path, source)
    return _starter(Pin.of(manifest), source)


def _published(session: CommandSession, path: Path, source: _Source) -> Manifest:
    """Publish a model, unless its newest version has the same files and names."""
    model, models = source.model, session.services.models
    newest = _newest(session, model)
    names = _names(source, newest)
    with session.terminal.progress(f"Checking and publishing {path}"):
        if newest is not None and names == newest.names and _is_same(path, newest):
            session.terminal.note(f"Model '{model}' version {newest.version} has the same files.")
            return newest
        try:
            manifest = session.run(models.publish(None, path, model, names=names))
        except GatewayError as error:
            inherited = newest is not None and (source.columns, source.classes) == (None, None)
            if not inherited or error.code is not ErrorCode.INVALID_REQUEST:
                raise
            kept = "the newest version has these names: give others, or '' for none"
            raise GatewayError(error.code, f"{error.message}; {kept}") from error
    session.terminal.note(f"Model '{model}' version {manifest.version} is published.")
    return manifest


def _names(source: _Source, newest: Manifest | None) -> TensorNames:
    """Return the names that are given, and for those that are not, the newest version's."""
    given = TensorNames.parse(source.columns, source.classes)
    if newest is None:
        return given
    return TensorNames(
        columns=newest.names.columns if source.columns is None else given.columns,
        classes=newest.names.classes if source.classes is None else given.classes,
    )


def _newest(session: CommandSession, model: str) -> Manifest | None:
    try:
        return session.run(session.services.models.manifest(None, model))
    except GatewayError as error:
        if error.code is not ErrorCode.NOT_FOUND:
            raise
        return None


def _stored(session: CommandSession, source: str) -> Manifest:
    manifest = _newest(session, source)
    if manifest is None:
        message = f"'{source}' is neither a file, nor a folder, nor the name of a model"
        remedy = "give the path of an .onnx file or of a flow as JSON"
        raise GatewayError(ErrorCode.NOT_FOUND, f"{message}: {remedy}")
    return manifest


def _is_same(path: Path, manifest: Manifest) -> bool:
    """Whether a model has the files of a version."""
    folder, model = (path, MODEL_FILE) if path.is_dir() else (path.parent, path.name)
    try:
        return all(
            files.digest(
                folder, PurePosixPath(model if file.path == MODEL_FILE else file.path)
            ).sha256
            == file.sha256
            for file in manifest.files
        )
    except OSError:  # publishing says what is wrong
        return False


def _starter(pin: Pin, source: _Source) -> _Wanted:
    # numpy, which few commands need
    from gateway.deployments.starter import starter_of  # noqa: PLC0415

    starter = starter_of(pin, _LATEST)
    flow = starter.flow
    if source.example is not None:
        problem = _problem(source.example, starter.input_schema)
        if problem is not None:
            message = f"{_EXAMPLE}: model '{pin.model}' does not take this `input_data`: {problem}"
            remedy = f"`slipstream models starter {_word(pin.model)}` prints a flow with one"
            raise GatewayError(ErrorCode.VALIDATION_FAILED, f"{message}; {remedy}")
        nodes = _with_test_data(flow["nodes"], source.example)
        flow = {**flow, "nodes": nodes}
    return _Wanted(validated(FlowIn, name=source.name, **flow).draft(), starter.input_schema)


# Any, here and below: JSON
def _problem(example: Mapping[str, Any], schema: Mapping[str, Any] | None) -> str | None:
    """Return the first place at which an `input_data` does not fit its schema, and why."""
    # a tenth of a second, which few commands need
    from jsonschema import Draft202012Validator  # noqa: PLC0415
    from jsonschema.exceptions import best_match  # noqa: PLC0415

    found = best_match(Draft202012Validator(schema or _NOTHING).iter_errors(example))
    if found is None:
        return None
    return f"{found.message[:_SHOWN_CHARACTERS]} ({found.json_path})"


def _deployment(session: CommandSession, name: str) -> DeploymentView | None:
    deployments = session.services.deployments
    wanted = DeploymentFilter(q=name)
    page = session.fetch_all(lambda at: deployments.page(session.profile_id, at, wanted))
    named = [view for view in page.items if view.row.name == name]
    if len(named) > 1:
        ids = ", ".join(view.row.id for view in named)
        message = f"several deployments have the name '{name}': {ids}; give another with --name"
        raise GatewayError(ErrorCode.CONFLICT, message)
    return named[0] if named else None


def _flow(session: CommandSession, live: DeploymentView | None, source: _Source) -> Flow | None:
    """Return the flow of a deployment, or else that of the name; None: there is none yet.

    Raises:
        GatewayError: CONFLICT if there are several, or it does not call the model.
    """
    profile_id, flows = session.profile_id, session.services.flows
    if live is not None:
        flow = session.run(flows.get(profile_id, live.row.flow_id))
    else:
        page = session.fetch_all(lambda at: flows.page(profile_id, at, q=source.name))
        named = [flow for flow in page.items if flow.name == source.name]
        if not named:
            return None
        if len(named) > 1:
            ids = ", ".join(flow.id for flow in named)
            message = f"several flows have the name '{source.name}': {ids}"
            raise GatewayError(ErrorCode.CONFLICT, f"{message}; give another with --name")
        (flow,) = named
    called = {model for model, _ in session.run(flows.models_of(profile_id, flow.id))}
    if source.flow is None and source.model not in called:
        message = f"flow '{flow.name}' does not call the model '{source.model}'"
        raise GatewayError(ErrorCode.CONFLICT, f"{message}: give another name with --name")
    return flow


def _saved(session: CommandSession, source: _Source, flow: Flow | None, wanted: _Wanted) -> Flow:
    """Make the flow, or give it the draft, unless a user has changed what was made for a model.

    An example of the user's stays as long as the model takes it.
    """
    profile_id, flows = session.profile_id, session.services.flows
    draft = wanted.draft
    if flow is None:
        return session.run(flows.create(profile_id, draft))
    if flow.definition == draft.definition:
        return flow
    if source.flow is None:
        if _without_test_data(flow.definition) != _without_test_data(draft.definition):
            return flow
        present = _test_data(flow.definition)
        if source.example is None and present is not None and not _problem(present, wanted.schema):
            return flow
    return session.run(flows.update(profile_id, flow.id, nodes=draft.nodes, edges=draft.edges))


def _create(
    session: CommandSession, flow: Flow, mode: ExecutionMode | None, again: str, *, wait: bool
) -> None:
    """Deploy a flow, with a key of its own; the command `again` makes the next version."""
    profile_id, services = session.profile_id, session.services
    settings = DeploymentSettings(name=flow.name, execution_mode=mode or ExecutionMode.SYNC)
    launch = Launch(start_server=True, api_key=KeyChoice.NEW)
    if mode is None:
        plan = session.run(services.planner.plan(profile_id, flow.id, settings, launch))
        if plan.fast is not None and plan.fast.possible:
            settings = replace(settings, execution_mode=ExecutionMode.FAST)
    made = session.run(services.deployments.create(profile_id, flow.id, settings, launch=launch))
    out = NewDeploymentOut.of(made, session.public_url)
    if wait and running_supervisor(session.workspace.settings.state) is not None:
        _wait_until_ready(session, out)
    name, url = _word(out.name), out.named_url or out.trigger_url
    session.terminal.show(
        out,
        f"Deployment '{out.name}' in mode {out.execution_mode}: POST {url}",
        *call_lines(session, out, programs=True),
        f"More code:     slipstream deployments code {name} --language python",
        f"Next version:  {again}",
        f"Delete it:     slipstream deployments delete {name}",
    )
    warn_about(session, out)


def _test_data(definition: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the example of a graph's input."""
    (given,) = [node for node in definition["nodes"] if node["type"] == NodeType.API_INPUT]
    found: dict[str, Any] | None = given.get("config", {}).get("test_data")
    return found


def _without_test_data(definition: Mapping[str, Any]) -> dict[str, Any]:
    return {**definition, "nodes": _with_test_data(definition["nodes"], None)}


def _with_test_data(
    nodes: Sequence[Mapping[str, Any]], example: Mapping[str, Any] | None
) -> list[Mapping[str, Any]]:
    """Return the nodes of a graph with another example of its input."""
    return [
        {**node, "config": {**node.get("config", {}), "test_data": example}}
        if node["type"] == NodeType.API_INPUT
        else node
        for node in nodes
    ]


def _check_options(
    source: _Source, live: DeploymentView | None, mode: ExecutionMode | None, canary: int | None
) -> None:
    """Raise VALIDATION_FAILED for options that the deployment does not allow, before any work."""
    message = None
    if live is None and canary is not None:
        message = f"--canary: expected a deployment '{source.name}' with a live version, got none"
        message += ": deploy without it first"
    elif live is not None and mode not in (None, live.row.execution_mode):
        row = live.row
        message = f"--mode: the deployment '{row.name}' has mode {row.execution_mode}, got {mode}"
        message += f": change it by `slipstream deployments set {_word(row.name)} --mode {mode}`"
    if message is not None:
        raise GatewayError(ErrorCode.VALIDATION_FAILED, message)


def _update(session: CommandSession, live: DeploymentView, canary: int | None) -> None:
    """Make the next version live, or a canary, if it differs from the live one."""
    profile_id, services = session.profile_id, session.services
    row, name = live.row, _word(live.row.name)
    compared = session.run(services.versions.diff(profile_id, row.id, LIVE, DRAFT))
    difference = DifferenceOut.of(compared)
    if difference.problem is not None:
        raise GatewayError(ErrorCode.INVALID_FLOW, difference.problem)
    if difference.same:
        out = DeploymentOut.of(live, session.public_url)
        text = f"Deployment '{out.name}': version {out.version} is live, and nothing has changed."
        key = f"slipstream keys create --name KEY_NAME --deployment {name}"
        session.terminal.show(out, text, f"A key for it:  {key}")
        return
    if canary is not None:
        new = validated(RolloutIn, strategy=Strategy.CANARY, weight=canary)
        with session.terminal.progress("Starting the version"):
            work = services.rollouts.start(profile_id, row.id, new.rollout())
            rollout = RolloutOut.of(session.run(work))
        session.terminal.show(
            rollout,
            *difference_views(difference),
            f"Deployment '{row.name}': {rollout_text(rollout)}.",
            f"See how it does:  slipstream deployments rollout {name}",
            f"Make it live:     slipstream deployments promote {name} {rollout.candidate}",
            f"End it:           slipstream deployments rollback {name}",
        )
        return
    with session.terminal.progress("Deploying the next version"):
        deployed = session.run(services.versions.redeploy(profile_id, row.id))
    out = DeploymentOut.of(deployed, session.public_url)
    session.terminal.show(
        out,
        *difference_views(difference),
        f"Deployment '{out.name}': version {out.version} is live at "
        f"{out.named_url or out.trigger_url}",
        f"Back to the last:  slipstream deployments promote {name} {row.live_version}",
    )
    warn_about(session, out)


def _wait_until_ready(session: CommandSession, out: DeploymentOut) -> None:
    """Wait for the inference servers; raise INFERENCE_SERVER_FAILED if one cannot start."""
    deployments = session.services.deployments
    with session.terminal.progress("Starting the inference server"):
        while True:
            found = session.run(deployments.get(session.profile_id, out.id)).readiness
            if found is None or found.state not in _BEFORE_READY:
                break
            session.run(asyncio.sleep(_POLL_SECONDS))
    if found is not None and found.state is ReadinessState.FAILED:
        message = f"the inference server of '{out.name}' has failed: {found.reason}"
        raise GatewayError(ErrorCode.INFERENCE_SERVER_FAILED, message)


def _word(text: str) -> str:
    """Return a text as one word of a command line."""
    return shlex.quote(text)
