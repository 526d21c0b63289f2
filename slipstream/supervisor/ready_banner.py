"""The banner of `slipstream up`: URLs, and on the first start a call to try."""

from __future__ import annotations

import asyncio
import time

from slipstream.demo.bootstrap import Demo
from slipstream.demo.call import DemoCall
from slipstream.readiness import GatewayReadiness, fetch_readiness
from slipstream.settings import UpOptions, reachable
from slipstream.status_printer import StatusPrinter

_READY_TIMEOUT_SECONDS = 5.0
_POLL_SECONDS = 0.05


class ReadyBanner:
    """Prints the URLs once and, after a first start, a call to try.

    Attributes:
        demo: what the first start has created; None on every other start.
    """

    def __init__(self, options: UpOptions, printer: StatusPrinter) -> None:
        self.demo: Demo | None = None
        self._options = options
        self._printer = printer
        self._printed = False

    async def wait_until_ready(self) -> GatewayReadiness:
        """Wait until calls are answered, at most a minute, and return what /readyz says then."""
        if self.demo:
            await self._call(self.demo).wait_until_answered()
        # A gateway learns of changes up to 0.3 s later, through the change feed.
        deadline = time.monotonic() + _READY_TIMEOUT_SECONDS
        while True:
            host, port = reachable(self._options.host), self._options.port
            certificate = self._options.tls_certificate
            readiness = await asyncio.to_thread(fetch_readiness, host, port, certificate)
            if readiness.ready or time.monotonic() > deadline:
                return readiness
            await asyncio.sleep(_POLL_SECONDS)

    def print(self, readiness: GatewayReadiness) -> None:
        """Print the banner, or the JSON document."""
        if readiness.ready:
            self._printer.step("slipstream", f"ready at {self._options.url}", "bold green")
        else:
            text = f"runs at {self._options.url} and is not ready: {readiness.reasons}"
            self._printer.step("slipstream", text, "bold red")
        if readiness.degraded:
            self._printer.step("slipstream", readiness.degraded, "bold red")
        if self._printer.as_json:
            self._printer.document({"ready": readiness.ready, **self._document()})
        else:
            self._print_demo()
            self._print_worker()
            self._printer.say("\nCreate an API key:  slipstream keys create --name NAME")
            self._printer.say("What it can call:   slipstream deployments list")
            self._printer.say(f"API documentation:  {self._options.url}/docs")
            self._printer.say("Ctrl-C stops everything.", "dim")
        self._printed = True

    def print_unshown_key(self) -> None:
        """Print the demo's key unless `print` has: it is stored only as a hash."""
        if not self._printed:
            self._print_demo()

    def _print_demo(self) -> None:
        if self.demo:
            text = "Try it. The API key in this line is shown only now, and is valid for a day:"
            self._printer.say(f"\n{text}\n", "bold")
            self._printer.say(self._call(self.demo).curl())

    def _print_worker(self) -> None:
        runs = self._options.worker_concurrency
        text = f"a worker for {runs} runs at a time is starting" if runs else "no worker here"
        self._printer.say(f"\nFlows of type api: {text}")

    def _document(self) -> dict[str, object]:
        options, demo = self._options, self.demo
        return {
            "url": options.url,
            "grpc": f"{options.host}:{options.grpc_port}",
            "docs": f"{options.url}/docs",
            "state": str(options.state),
            "worker": {"concurrency": self._options.worker_concurrency},
            "demo": demo
            and {
                "deployment_id": demo.deployment_id,
                "flow_id": demo.flow_id,
                "key": demo.key,
                "curl": self._call(demo).curl(),
            },
        }

    def _call(self, demo: Demo) -> DemoCall:
        return DemoCall(
            host=reachable(self._options.host),
            port=self._options.port,
            deployment_id=demo.deployment_id,
            key=demo.key,
            input_data=demo.input_data,
            tls=self._options.tls,
        )
