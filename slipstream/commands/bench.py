"""`slipstream bench`: load on a deployment or a URL, and what it gave."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from slipstream import options
from slipstream.bench.first_call import check
from slipstream.bench.measurement import Series
from slipstream.bench.plan import Plan
from slipstream.bench.progress import ProgressView
from slipstream.bench.result import Result
from slipstream.bench.target import Target, TargetError, is_url, read_body, url_target
from slipstream.bench.view import report
from slipstream.commands.bench_deployment import deployment_target
from slipstream.failures import ExitStatus, RefusedError, exit_on_error
from slipstream.session import open_session
from slipstream.terminal import Terminal

_MOST_CONNECTIONS = 10_000
_HELP = (
    "Each connection has one call in flight (a closed loop, keep-alive). The first call is made "
    "alone and has to succeed. Then, for each number of connections: a warm-up that is not "
    "counted, and the measuring.",
    "A deployment is looked up in the state folder and called where `slipstream up` listens, with "
    "the test_data of its flow and, without --key, a key that is made for it and deleted "
    "afterwards. A URL takes --data, and --key unless it is open.",
    "Ctrl-C ends it and shows what was measured. [bold]Exit status[/]: 0 when every call was "
    "answered with a 2xx status; 1 when any failed, the first one or one under load; 2 and 3 as "
    "everywhere.",
    "[dim]slipstream bench 'Iris classifier'[/]",
    "[dim]slipstream bench 0b9c… --concurrency 1,8 --seconds 10 --data @body.json[/]",
    "[dim]slipstream bench http://127.0.0.1:8080/v2/models/iris/infer --key sk-… --data @x.json[/]",
    "[dim]slipstream bench 'Iris classifier' --json | jq .results[].latency_seconds.p99[/]",
)


def register(application: typer.Typer, noun: str, text: str) -> None:
    """Add the command."""
    application.command(noun, help="\n\n".join((text, *_HELP)), no_args_is_help=True)(bench)


def bench(
    what: Annotated[
        str,
        typer.Argument(help="Name or id of a deployment, or a URL.", metavar="DEPLOYMENT|URL"),
    ],
    *,
    data: Annotated[
        str | None,
        typer.Option(
            help="The body, as in `curl -d`. Default: the flow's test_data.",
            metavar="JSON|@FILE",
        ),
    ] = None,
    key: Annotated[
        str | None, typer.Option(envvar="SLIPSTREAM_API_KEY", help="API key.", metavar="KEY")
    ] = None,
    concurrency: Annotated[
        str, typer.Option(help="Connections; each number is measured.", metavar="N,N,…")
    ] = "1,16,64",
    seconds: Annotated[float, typer.Option(min=0.1, max=3600, help="How long to measure.")] = 5,
    warmup: Annotated[float, typer.Option(min=0, max=3600, help="Seconds before that.")] = 1,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Measure, and answer with what was measured."""
    numbers = _numbers(concurrency)
    terminal = Terminal(as_json=as_json)
    series = Series()
    with exit_on_error(as_json=as_json):
        with _target(what, data, key, state, as_json=as_json) as target:
            with terminal.progress(f"Calling {target.url} once"):
                check(target)
            plans = [
                Plan.of(target, connections=number, seconds=seconds, warmup=warmup)
                for number in numbers
            ]
            results = _measured(series, plans, terminal)
        if not results:
            raise RefusedError("interrupted", "stopped before anything was measured")
    document = {
        "url": target.url,
        "warmup_seconds": warmup,
        "interrupted": series.interrupted,
        "results": [asdict(result) for result in results],
    }
    terminal.show(document, *report(results, local=target.is_local))
    if series.interrupted:
        terminal.note("Stopped: what is shown was measured until then.")
    if any(result.failed for result in results):
        raise typer.Exit(ExitStatus.REFUSED)


def _measured(series: Series, plans: Sequence[Plan], terminal: Terminal) -> list[Result]:
    with ProgressView(terminal.stderr) as view:
        return list(series.run(_announced(plans, view), view.update))


def _announced(plans: Sequence[Plan], view: ProgressView) -> Iterator[Plan]:
    for plan in plans:
        view.begin(plan)
        yield plan


@contextmanager
def _target(
    what: str, data: str | None, key: str | None, state: Path, *, as_json: bool
) -> Iterator[Target]:
    """Yield what to call; a key that is made for it is deleted afterwards."""
    try:
        body = None if data is None else read_body(data)
        if is_url(what):
            yield url_target(what, body, key)
            return
        with (
            open_session(state, as_json=as_json) as session,
            deployment_target(session, what, state, body=body, key=key) as target,
        ):
            yield target
    except TargetError as error:
        raise typer.BadParameter(str(error)) from None


def _numbers(concurrency: str) -> list[int]:
    parts = concurrency.split(",")
    if all(part.strip().isdecimal() for part in parts):
        numbers = [int(part) for part in parts]
        if all(1 <= number <= _MOST_CONNECTIONS for number in numbers):
            return list(dict.fromkeys(numbers))
    expected = f"expected numbers from 1 to {_MOST_CONNECTIONS} such as 1,16,64"
    raise typer.BadParameter(f"--concurrency: {expected}, got '{concurrency}'")
