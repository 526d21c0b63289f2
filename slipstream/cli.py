"""The first level of the command line. The module of a command is imported only to run it."""

from __future__ import annotations

import inspect
import json
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from importlib.metadata import version
from typing import Any

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

NOUNS: Mapping[str, str] = {
    "up": "Run everything on this machine: gateway, worker, inference servers; first with a demo.",
    "reload": "New code, options or settings for `up`, without a failed call.",
    "join": "Everything on a further machine of an installation.",
    "hosts": "The machines of an installation, and what runs on them: list, processes, token.",
    "deploy": "From a model or a flow to an endpoint; again: its next version.",
    "models": "The model store: add, list, show, verify, label, set, remove, serve, unserve.",
    "flows": "Flows: create, check, run, test, list, show, revisions, update, delete.",
    "deployments": "Deployments: create, list, show, set, code, rehearse, redeploy, canary, pause.",
    "keys": "API keys: create, list, show, set, rotate, check, deactivate, activate, delete.",
    "users": "Users: create, list, set-role, reset-password, deactivate, activate, delete.",
    "runs": "Runs: list, show, timeline, wait, cancel, retry, curl, tail.",
    "calls": "Calls by request id: explain where the time of one went.",
    "webhooks": "Webhooks: listen, verify, list, show, set, rotate, test, deliveries, replay.",
    "search": "Find flows, deployments, models, runs and keys by name, id or masked key.",
    "open": "The page of the console that shows a deployment, flow, model or run, in the browser.",
    "usage": "Usage: calls, errors, runs and percentiles by deployment, version, key or code.",
    "events": "Changes of flows, deployments, runs and the rest as they happen.",
    "audit": "Who did what, when and from where: list, export, prune.",
    "bench": "Load on a deployment or a URL: rate, percentiles, what the model takes.",
    "backup": "Copy database, models and pepper into a folder, also while everything runs.",
    "migrate": "Make or migrate the tables, and exit.",
    "info": "The version, public addresses, limits and defaults of this installation.",
    "status": "One screen: what runs, its calls, errors, backlog, webhooks and disk.",
    "system": "Hosts, gateways, workers, queues, stores and servers; what is wrong, what to do.",
    "logs": "The log of this host: last lines, by model, deployment, request, run or level.",
    "doctor": "Diagnose this installation and suggest fixes.",
    "monitoring": "Write dashboards, rules and alerts for Prometheus and Grafana into a folder.",
    "k8s": "Manifests for Kubernetes: render.",
    "gateway": "Run a gateway alone.",
    "worker": "Run a worker alone, on further machines: flows of type api.",
    "inference-server": "Run an inference server alone.",
}

_PLURALS = {noun for noun in NOUNS if noun.endswith("s")} - {"status", "k8s"}

_EPILOG = """
Exit status: 0 done; 1 refused, or something is wrong; 2 invalid command line;
3 cannot run here: a port in use, a state folder or a database that cannot be used.

--json prints exactly one JSON document to stdout; after an error it is
{"error": {"code": …, "message": …}}, with "errors" if a validation has found several.
Everything else goes to stderr.
"""


class _Application(TyperGroup):
    """Also says on stdout what is wrong with a command line, if that asks for JSON."""

    def make_context(self, info_name: str | None, args: list[str], *rest: Any, **more: Any) -> Any:
        """Parse the words before the command. Any: as for `invoke`."""
        self._as_json = "--json" in args
        with self._reported():
            return super().make_context(info_name, args, *rest, **more)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # Any: as for `invoke`
        """Return the command with this name, which may be in the singular."""
        return super().get_command(ctx, noun_of(cmd_name))

    def invoke(self, ctx: Any) -> object:  # Any: Typer does not export the class
        """Parse the rest, and run the command."""
        with self._reported():
            return super().invoke(ctx)

    @contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except TyperException as error:  # printed to stderr, with the usage, where it arrives
            if self._as_json:
                message = getattr(error, "format_message", error.__str__)()
                document = {"code": "usage", "message": " ".join(message.split())}
                typer.echo(json.dumps({"error": document}))
            raise


def noun_of(word: str) -> str:
    """Return the name of a command that is given in the plural or the singular."""
    return f"{word}s" if f"{word}s" in _PLURALS else word


@cache
def build(*, called: str) -> typer.Typer:
    """Return the application: complete for the called command, the others only with their help.

    It is the same one each time: a module adds its commands once.
    """
    application = typer.Typer(
        help="Deploy flows and ONNX models behind API endpoints.",
        epilog=_EPILOG,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,  # Typer's panels cut the names of options at 80 columns
        context_settings={"help_option_names": ["-h", "--help"]},
        cls=_Application,
    )
    application.callback()(_first_level)
    for noun, text in NOUNS.items():
        if noun == called:
            import_module(f"slipstream.commands.{noun}").register(application, noun, text)
        else:
            application.command(noun, help=text)(_not_called)
    _complete_help(application)
    return application


def _complete_help(application: typer.Typer) -> None:
    """Indent examples, which begin with `$`, and keep their lines; list first sentences whole."""
    groups = [each.typer_instance for each in application.registered_groups]
    for group in filter(None, (application, *groups)):
        for command in group.registered_commands:
            text = inspect.cleandoc(command.help or inspect.getdoc(command.callback) or "")
            unwrapped = text.replace("\n\n$ ", "\n\n\b\n$ ")  # click's mark of such a paragraph
            command.help = unwrapped.replace("\n$ ", "\n    ")
            command.short_help = text.partition("\n\n")[0]


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(f"slipstream {version('slipstream')} (Python {platform.python_version()})")
        raise typer.Exit


def _first_level(
    *,
    _version: bool = typer.Option(
        False,
        "--version",
        "-V",
        callback=_print_version,
        is_eager=True,
        help="Print the versions of Slipstream and Python, and exit.",
    ),
) -> None:
    """Accept the options before a command."""


def _not_called() -> None:
    """Placeholder in the list of commands."""
