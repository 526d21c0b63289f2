"""`slipstream bench`: load on a deployment or a URL."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from slipstream import options
from slipstream.bench.first_call import check
from slipstream.bench.plan import LoadPlan
from slipstream.bench.result import LoadResult
from slipstream.bench.runner import LoadRunner
from slipstream.bench.target import (
    BenchTarget,
    BenchTargetError,
    is_url,
    read_body,
    url_target,
)
from slipstream.bench.view import ProgressView, report
from slipstream.commands.bench_target import deployment_target
from slipstream.failures import ExitStatus, RefusedError, exit_on_error
from slipstream.session import open_session
from slipstream.terminal import Terminal

_MAX_CONNECTIONS = 10_000
_HELP = (
    "Each connection is kept alive and has one call in flight (a closed loop). The first call is "
    "made alone and must succeed. Each number of connections then gets a warm-up, which is not "
    "counted, and a measurement.",
    "A deployment is looked up in the state folder and called where `slipstream up` listens, with "
    "its flow's test_data and, without --key, a temporary API key that is deleted afterwards. A "
    "URL needs --data, and --key unless it is public.",
    "Ctrl-C stops and shows what was measured so far. Exit status: 0 if every call got a "
    "2xx response; 1 if any call failed; 2 and 3 as for every command.",
    "$ slipstream bench 'Iris classifier'\n"
    "$ slipstream bench 0b9c… --concurrency 1,8 --seconds 10 --data @body.json\n"
    "$ slipstream bench http://127.0.0.1:8080/v2/models/iris/infer --key sk-… --data @x.json\n"
    "$ slipstream bench 'Iris classifier' --json | jq .results[].latency_seconds.p99",
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
            help="Request body, as in `curl -d`. Default: the flow's test_data.",
            metavar="JSON|@FILE",
        ),
    ] = None,
    key: Annotated[
        str | None, typer.Option(envvar="SLIPSTREAM_API_KEY", help="API key.", metavar="KEY")
    ] = None,
    concurrency: Annotated[
        str, typer.Option(help="Numbers of connections to measure.", metavar="N,N,…")
    ] = "1,16,64",
    seconds: Annotated[
        float, typer.Option(min=0.1, max=3600, help="Length of each measurement.")
    ] = 5,
    warmup: Annotated[
        float, typer.Option(min=0, max=3600, help="Length of each warm-up, in seconds.")
    ] = 1,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Measure, and show the results."""
    numbers = _numbers(concurrency)
    terminal = Terminal(as_json=as_json)
    runner = LoadRunner()
    with exit_on_error(as_json=as_json):
        with _target(what, data, key, state, as_json=as_json) as target:
            with terminal.progress(f"Calling {target.url} once"):
                check(target)
            plans = [
                LoadPlan.of(target, connections=number, seconds=seconds, warmup=warmup)
                for number in numbers
            ]
            results = _measure(runner, plans, terminal)
        if not results:
            raise RefusedError("interrupted", "interrupted before anything was measured")
    document = {
        "url": target.url,
        "warmup_seconds": warmup,
        "interrupted": runner.interrupted,
        "results": [_document(result) for result in results],
    }
    terminal.show(document, *report(results, local=target.is_local))
    if runner.interrupted:
        terminal.note("Interrupted: these are the figures so far.")
    if any(result.failed for result in results):
        raise typer.Exit(ExitStatus.REFUSED)


def _measure(runner: LoadRunner, plans: Sequence[LoadPlan], terminal: Terminal) -> list[LoadResult]:
    with ProgressView(terminal.stderr) as view:
        return list(runner.run(_announce(plans, view), view.update))


def _announce(plans: Sequence[LoadPlan], view: ProgressView) -> Iterator[LoadPlan]:
    for plan in plans:
        view.begin(plan)
        yield plan


def _document(result: LoadResult) -> dict[str, object]:
    document = asdict(result)
    del document["arrivals"]  # of other kinds of load
    return document


@contextmanager
def _target(
    what: str, data: str | None, key: str | None, state: Path, *, as_json: bool
) -> Iterator[BenchTarget]:
    """Yield the call to measure; a temporary key is deleted afterwards."""
    try:
        body = None if data is None else read_body(data)
        if is_url(what):
            yield url_target(what, body, key)
            return
        with (
            open_session(state, as_json=as_json) as session,
            deployment_target(session, what, body=body, key=key) as target,
        ):
            yield target
    except BenchTargetError as error:
        raise typer.BadParameter(str(error)) from None


def _numbers(concurrency: str) -> list[int]:
    parts = concurrency.split(",")
    if all(part.strip().isdecimal() for part in parts):
        numbers = [int(part) for part in parts]
        if all(1 <= number <= _MAX_CONNECTIONS for number in numbers):
            return list(dict.fromkeys(numbers))
    expected = f"expected numbers from 1 to {_MAX_CONNECTIONS}, such as 1,16,64"
    raise typer.BadParameter(f"--concurrency: {expected}, got '{concurrency}'")
