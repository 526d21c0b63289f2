"""What is said once everything is ready: where it is, and on the first start how to try it."""

from __future__ import annotations

import asyncio
import time

from slipstream.demo.bootstrap import Demo
from slipstream.demo.call import DemoCall
from slipstream.readiness import GatewayReadiness, fetch_readiness
from slipstream.settings import ServeOptions, reachable
from slipstream.status_printer import StatusPrinter
from slipstream.supervisor.fleet import Fleet
from slipstream.supervisor.gateways import GatewayMonitor
from slipstream.supervisor.workers import ManagedWorker

_READY_TIMEOUT_SECONDS = 5.0
_POLL_SECONDS = 0.05


class ReadyBanner:
    """Says it once.

    Attributes:
        demo: what the first start has made; None on every other start.
    """

    def __init__(
        self, options: ServeOptions, printer: StatusPrinter, workers: ManagedWorker
    ) -> None:
        self.demo: Demo | None = None
        self._options = options
        self._printer = printer
        self._workers = workers
        self._printed = False

    async def print_when_ready(self, gateways: GatewayMonitor, fleet: Fleet) -> None:
        """Wait until calls are answered, then tell."""
        await gateways.ready()
        await fleet.settled()
        if self.demo:
            await self._call(self.demo).wait_until_answered()
        said = await self._readiness()
        self._workers.start()
        if said.ready:
            self._printer.step("slipstream", f"ready at {self._options.url}", "bold green")
        else:
            text = f"runs at {self._options.url} and is not ready: {said.reasons}"
            self._printer.step("slipstream", text, "bold red")
        if self._printer.as_json:
            self._printer.document({"ready": said.ready, **self._document()})
        else:
            self._print_demo()
            self._print_worker()
            self._printer.say(f"\nAPI documentation: {self._options.url}/docs")
            self._printer.say("Ctrl-C stops everything.", "dim")
        self._printed = True

    def print_unshown_key(self) -> None:
        """On the way out: tell the demo's key if it has not been told. There is no other copy."""
        if not self._printed:
            self._print_demo()

    async def _readiness(self) -> GatewayReadiness:
        """Ask until the gateway is ready, or has had its time: it hears of changes a bit later."""
        deadline = time.monotonic() + _READY_TIMEOUT_SECONDS
        while True:
            host, port = reachable(self._options.host), self._options.port
            shown = self._options.tls_certificate
            said = await asyncio.to_thread(fetch_readiness, host, port, shown)
            if said.ready or time.monotonic() > deadline:
                return said
            await asyncio.sleep(_POLL_SECONDS)

    def _print_demo(self) -> None:
        if self.demo:
            self._printer.say("\nTry it. The API key in this line is shown only now:\n", "bold")
            self._printer.say(self._call(self.demo).curl())

    def _print_worker(self) -> None:
        runs = self._workers.concurrency
        text = f"a worker for {runs} runs at a time is starting" if runs else "no worker here"
        self._printer.say(f"\nFlows of type api: {text}")

    def _document(self) -> dict[str, object]:
        options, demo = self._options, self.demo
        return {
            "url": options.url,
            "grpc": f"{options.host}:{options.grpc_port}",
            "docs": f"{options.url}/docs",
            "state": str(options.state),
            "worker": {"concurrency": self._workers.concurrency},
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
