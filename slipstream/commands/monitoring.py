"""`slipstream monitoring`: Prometheus, Alertmanager and Grafana for this installation."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from gateway.settings import Settings
from slipstream import options
from slipstream.failures import UnusableError, exit_on_error
from slipstream.gateway_address import public_url
from slipstream.installation import find_installation
from slipstream.monitoring.files import Monitored, write_files
from slipstream.state_location import locate_existing
from slipstream.terminal import Terminal
from telemetry.instruments import LATENCY_SECONDS

_HELP = (
    "Existing files of these names are replaced, except alertmanager.yml. See docs/monitoring.md.",
    "$ slipstream monitoring watch\n$ podman compose --file watch/compose.yml up --detach",
)
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s)")
_URL = re.compile(r"https?://[^\s/?#\"]+(/[^\s?#\"]*)?")
_WEBHOOK = re.compile(r"https?://[^\s/?#]+([/?]\S*)?")
_ADDRESS = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:]+\]):[0-9]{1,5}")


def register(application: typer.Typer, noun: str, text: str) -> None:
    """Add the command."""
    application.command(noun, help="\n\n".join((text, *_HELP)), no_args_is_help=True)(monitoring)


def monitoring(
    folder: Annotated[Path, typer.Argument(help="Folder of the files.", metavar="DIR")],
    *,
    url: Annotated[
        str | None,
        typer.Option(help="A gateway, as Prometheus reaches it. Default: this installation's."),
    ] = None,
    slo: Annotated[
        float,
        typer.Option(help="Percentage of calls that should be answered, and in time."),
    ] = 99.9,
    latency: Annotated[
        str,
        typer.Option(help="In time, for fast calls: such as 25ms, 50ms or 1s.", metavar="DURATION"),
    ] = "50ms",
    runbook: Annotated[
        str, typer.Option(help="URL of the runbook, to which alerts link.", metavar="URL")
    ] = "docs/runbook.md",
    alertmanager: Annotated[
        str, typer.Option(help="Where Prometheus sends alerts.", metavar="HOST:PORT")
    ] = "127.0.0.1:9093",
    notify: Annotated[
        str | None,
        typer.Option(help="Where Alertmanager posts alerts. Replaces alertmanager.yml."),
    ] = None,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Write the files."""
    if not 0 < slo < 100:  # noqa: PLR2004 - percent
        raise typer.BadParameter(f"expected above 0 and below 100, got {slo:g}", param_hint="--slo")
    seconds = _seconds(latency)
    if url is not None and not _URL.fullmatch(url):
        raise typer.BadParameter(
            f"expected http:// or https:// and a host, got {url!r}", param_hint="--url"
        )
    if notify is not None and not _WEBHOOK.fullmatch(notify):  # not shown: it may be a secret
        raise typer.BadParameter("expected http:// or https:// and a host", param_hint="--notify")
    if not _ADDRESS.fullmatch(alertmanager):
        raise typer.BadParameter(
            f"expected HOST:PORT, got {alertmanager!r}", param_hint="--alertmanager"
        )
    with exit_on_error(as_json=as_json):
        terminal = Terminal(as_json=as_json)
        installation = find_installation(locate_existing(state, terminal))
        installation.check(any_version=True)
        settings = installation.settings
        monitored = Monitored(
            url=url or public_url(settings),
            objective=slo / 100,
            latency=seconds,
            token=_token(settings),
            runbook=runbook,
            alertmanager=alertmanager,
            notify=notify,
        )
        try:
            written = write_files(folder, monitored)
        except OSError as error:
            raise UnusableError(f"{folder} cannot be written: {error.strerror}") from error
        document = {"folder": str(folder), "url": monitored.url, "files": [*map(str, written)]}
        compose = folder / "compose.yml"
        terminal.show(
            document,
            f"{folder} has what Prometheus, Alertmanager and Grafana need for {monitored.url}.",
            f"Start them: podman compose --file {compose} up --detach",
            "Then open http://127.0.0.1:3000 (Grafana) or http://127.0.0.1:9090 (Prometheus).",
        )


def _seconds(duration: str) -> float:
    """Return a duration that is a bound of buckets: others could not be counted."""
    found = _DURATION.fullmatch(duration)
    seconds = float(found[1]) / (1000 if found[2] == "ms" else 1) if found else None
    if seconds not in LATENCY_SECONDS:
        known = ", ".join(f"{bound * 1000:g}ms" for bound in LATENCY_SECONDS)
        raise typer.BadParameter(
            f"expected a bound of the histogram's buckets ({known}), got {duration!r}",
            param_hint="--latency",
        )
    return seconds


def _token(settings: Settings) -> str | None:
    """Return the first of the tokens that `/metrics` asks for, if it does."""
    if settings.metrics_token_file is None:
        return None
    try:
        return settings.metrics_token_file.read_text().split()[0]
    except (OSError, IndexError) as error:
        raise UnusableError(
            f"{settings.metrics_token_file}, SLIPSTREAM_METRICS_TOKEN_FILE, has no token: {error}"
        ) from error
