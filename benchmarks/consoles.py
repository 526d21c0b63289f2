"""Consoles: what fast calls pay for consoles that are open meanwhile.

The bar: fast mode with five consoles open gives at least 0.97 times the throughput of that without.

    python -m benchmarks.consoles
    python -m benchmarks.consoles --pages --output consoles.json

One installation, one deployment, three ways in turn, every other round in reverse: no console; five
programs that do what a console does, each with its stream of changes, reading the flows, the
deployments and the newest runs again when they change, as often as the console; and with --pages
(Playwright and Chromium) also five pages of real browsers. Those take the same cores as the gateway
and are reported without a bar: the browsers of users run on other machines.
"""

from __future__ import annotations

import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from statistics import median
from typing import Any

import httpx
from anyio.abc import TaskStatus
from anyio.from_thread import start_blocking_portal

from benchmarks.calls import FLOW, HttpCall, json_call
from benchmarks.installation import ONE_THREAD, Installation, SetupError
from benchmarks.load import p50_us, run_wrk
from benchmarks.models import tiny_model
from benchmarks.scenario import Context, Findings, at_least, positive, run_scenario

NONE, PROGRAMS, PAGES = "none", "five programs", "five pages"
OPTIONS = {
    "--rounds": {"type": positive, "default": 8, "help": "turns of each (%(default)s)"},
    "--seconds": {"type": positive, "default": 8, "help": "of each turn (%(default)s)"},
    "--connections": {"type": positive, "default": 64, "help": "for throughput (%(default)s)"},
    "--pages": {"action": "store_true", "help": "open real pages, too, with Chromium"},
}

_CONSOLES = 5
_TOPICS = "flows,deployments,runs,models,servers,keys,deliveries,calls"
_LISTS = ("/node/flows/?view=summary&limit=50", "/node/deployments/", "/node/flow-runs/?limit=50")
_SCREENS = ("flows", "deployments", "runs", "models", "usage")
_PAUSE_SECONDS, _PAUSE_FACTOR, _MAX_PAUSE_SECONDS = 1.0, 50, 30.0
"""Between two readings of what has changed, as in the console: the least, how many times
what the last took, and the most."""
_SETTLED_SECONDS = 3.0
_TIMEOUT_SECONDS = 30.0
_LINK = re.compile(r"/console/setup#token=([\w-]+)")
_ACCOUNT = {"email": "ada@example.com", "password": "correct-horse-battery-9"}


def measure(context: Context) -> Findings:
    """Measure all ways in turn."""
    options = context.options
    context.say("starting")
    model = tiny_model(context.folder)
    with Installation(context.folder, model, ONE_THREAD) as installation, ExitStack() as stack:
        path = installation.deploy_model("tiny", model.path)
        call = json_call(FLOW, model, path, installation.headers)
        installation.server.check(call)
        ways: dict[str, Callable[[], AbstractContextManager[object]]] = {
            NONE: nullcontext,
            PROGRAMS: lambda: _programs(installation),
        }
        if options.pages:
            ways[PAGES] = stack.enter_context(_browser(installation))
        rates: dict[str, list[float]] = {name: [] for name in ways}
        p50: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(options.rounds):
            for name in list(ways)[:: -1 if number % 2 else 1]:
                context.say(f"{number + 1}: {name}")
                with ways[name]():
                    rate, latency = _load(
                        call, installation.port, options.connections, options.seconds
                    )
                rates[name].append(rate)
                p50[name].append(latency)
    ratios = {
        name: median(one / alone for one, alone in zip(rates[name], rates[NONE], strict=True))
        for name in ways
    }
    return Findings(
        headings=("consoles", "req/s", "slowest … fastest round", "times none", "p50 µs, 1 conn."),
        rows=[
            (
                name,
                f"{median(rates[name]):,.0f}",
                f"{min(rates[name]):,.0f} … {max(rates[name]):,.0f}",
                f"{ratios[name]:.3f}",
                f"{median(p50[name]):,.0f}",
            )
            for name in ways
        ],
        bars=[at_least("req/s with five consoles / without", 0.97, ratios[PROGRAMS])],
        figures={"good_per_second": rates, "p50_us": p50},
        notes=(f"{options.connections} connections; medians of {options.rounds} rounds",),
    )


def _load(call: HttpCall, port: int, connections: int, seconds: int) -> tuple[float, float]:
    """Return the good answers a second, and the median latency of one connection."""
    load = run_wrk(call, port, connections=connections, seconds=seconds)
    return load.good_per_second, p50_us([call], port, 1.0)


@contextmanager
def _programs(installation: Installation) -> Iterator[None]:
    """Follow the changes as five consoles do, within the block."""
    url = f"http://127.0.0.1:{installation.port}"
    with start_blocking_portal() as portal:
        tasks = [portal.start_task(_follow, url, installation.headers)[0] for _ in range(_CONSOLES)]
        yield
        for task in tasks:
            if not task.cancel():
                raise SetupError(f"a console could not follow the changes: {task.exception()}")


async def _follow(url: str, headers: Mapping[str, str], *, task_status: TaskStatus[None]) -> None:
    """Read what has changed as often as a console; it begins when the stream is there."""
    read_at, pause = 0.0, _PAUSE_SECONDS
    async with (
        httpx.AsyncClient(base_url=url, headers=headers, timeout=_TIMEOUT_SECONDS) as http,
        http.stream("GET", f"/node/events/?topics={_TOPICS}") as stream,
    ):
        stream.raise_for_status()
        task_status.started()
        async for line in stream.aiter_lines():
            if "items" not in line or time.monotonic() - read_at < pause:
                continue
            read_at = time.monotonic()
            for path in _LISTS:
                (await http.get(path)).raise_for_status()
            took = time.monotonic() - read_at
            pause = min(max(_PAUSE_SECONDS, _PAUSE_FACTOR * took), _MAX_PAUSE_SECONDS)
    raise SetupError("the stream has ended")


@contextmanager
def _browser(installation: Installation) -> Iterator[Callable[[], AbstractContextManager[None]]]:
    """Start a browser for the owner of the installation; yield what opens five pages in it."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise SetupError("--pages needs Playwright: pip install playwright") from None
    program = shutil.which("chromium")
    if program is None:
        raise SetupError("--pages needs Chromium on PATH: apt-get install chromium")
    url = f"http://127.0.0.1:{installation.port}"
    session = _session(url, installation.server.log())
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])

        @contextmanager
        def pages() -> Iterator[None]:
            # a context each: the tabs of one share a stream
            contexts = [browser.new_context(storage_state=session) for _ in range(_CONSOLES)]
            for context, screen in zip(contexts, _SCREENS, strict=True):
                page = context.new_page()
                page.goto(f"{url}/console/{screen}")
                page.get_by_text("Live", exact=True).wait_for()
            time.sleep(_SETTLED_SECONDS)
            yield
            for context in contexts:
                context.close()

        yield pages
        browser.close()


# Any: Playwright's own form
def _session(url: str, log: str) -> Any:
    """Make the first account by the link in the log; return the state of a browser with it."""
    found = _LINK.search(log)
    if found is None:
        raise SetupError("the installation has printed no link to its console")
    with httpx.Client(base_url=url) as http:
        http.post("/node/setup/", json={"token": found[1], **_ACCOUNT}).raise_for_status()
        where = {"domain": "127.0.0.1", "path": "/", "expires": -1}
        kind = {"httpOnly": True, "secure": False, "sameSite": "Strict"}
        cookies = [{"name": n, "value": v, **where, **kind} for n, v in http.cookies.items()]
    return {"cookies": cookies, "origins": []}


if __name__ == "__main__":
    sys.exit(run_scenario(__doc__, measure, OPTIONS))
