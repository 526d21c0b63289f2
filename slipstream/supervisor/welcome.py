"""What is said once everything is ready: where it is, and on the first start how to try it."""

from __future__ import annotations

import asyncio
import time

from slipstream.announcer import Announcer
from slipstream.demo.bootstrap import Demo
from slipstream.demo.call import DemoCall
from slipstream.readiness import Readiness, ask_readiness
from slipstream.settings import Options, reachable
from slipstream.supervisor.fleet import Fleet
from slipstream.supervisor.gateways import GatewayWatcher
from slipstream.supervisor.workers import Workers

_PATIENCE_SECONDS = 5.0
_PAUSE_SECONDS = 0.05


class Welcome:
    """Says it once.

    Attributes:
        demo: what the first start has made; None on every other start.
    """

    def __init__(self, options: Options, announcer: Announcer, workers: Workers) -> None:
        self.demo: Demo | None = None
        self._options = options
        self._announcer = announcer
        self._workers = workers
        self._told = False

    async def when_ready(self, gateways: GatewayWatcher, fleet: Fleet) -> None:
        """Wait until calls are answered, then tell."""
        await gateways.ready()
        await fleet.settled()
        if self.demo:
            await self._call(self.demo).answered()
        said = await self._readiness()
        self._workers.start()
        if said.ready:
            self._announcer.step("slipstream", f"ready at {self._options.url}", "bold green")
        else:
            text = f"runs at {self._options.url} and is not ready: {said.reasons}"
            self._announcer.step("slipstream", text, "bold red")
        if self._announcer.as_json:
            self._announcer.document({"ready": said.ready, **self._document()})
        else:
            self._tell_demo()
            self._tell_workers()
            self._announcer.say(f"\nAPI documentation: {self._options.url}/docs")
            self._announcer.say("Ctrl-C stops everything.", "dim")
        self._told = True

    def last_chance(self) -> None:
        """On the way out: tell the demo's key if it has not been told. There is no other copy."""
        if not self._told:
            self._tell_demo()

    async def _readiness(self) -> Readiness:
        """Ask until the gateway is ready, or has had its time: it hears of changes a bit later."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            host, port = reachable(self._options.host), self._options.port
            shown = self._options.tls_certificate
            said = await asyncio.to_thread(ask_readiness, host, port, shown)
            if said.ready or time.monotonic() > deadline:
                return said
            await asyncio.sleep(_PAUSE_SECONDS)

    def _tell_demo(self) -> None:
        if self.demo:
            self._announcer.say("\nTry it. The API key in this line is shown only now:\n", "bold")
            self._announcer.say(self._call(self.demo).curl())

    def _tell_workers(self) -> None:
        runs = self._workers.concurrency
        text = f"a worker for {runs} runs at a time is starting" if runs else "no worker here"
        self._announcer.say(f"\nFlows of type api: {text}")

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
