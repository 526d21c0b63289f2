"""The banner of `slipstream up`: the console, URLs, a call to try, and a key for it."""

from __future__ import annotations

import asyncio
import shlex
import shutil
import sysconfig
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gateway.broker.broker import Queue
from slipstream.demo.bootstrap import Demo
from slipstream.readiness import GatewayReadiness, fetch_readiness
from slipstream.settings import UpOptions, reachable
from slipstream.status_printer import StatusPrinter
from slipstream.supervisor.worker_manager import describe_concurrency
from slipstream.trigger_call import TriggerCall

_READY_TIMEOUT_SECONDS = 5.0
_POLL_SECONDS = 0.05


class ReadyBanner:
    """Prints the URLs and a call to try, once; after a first start with the demo's key.

    Attributes:
        demo: what the first start has created; None on every other start.
        setup_token: opens the console's set-up; None if a user has a password.
        newest_call: a deployment to call, and input data for it; None if there is none.
    """

    def __init__(self, options: UpOptions, printer: StatusPrinter) -> None:
        self.demo: Demo | None = None
        self.setup_token: str | None = None
        self.newest_call: tuple[str, Mapping[str, Any]] | None = None  # Any: JSON
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
        if not self._printer.as_json:  # its steps go to stderr, into logs
            self._printer.step("console", self._console_link(), "bold green")
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
            state = self._state_option()
            self._printer.say("")
            self._print_path()
            self._printer.say(f"Deploy a model:     slipstream deploy FILE.onnx{state}")
            self._printer.say(f"Create an API key:  slipstream keys create --name NAME{state}")
            self._printer.say(f"What it can call:   slipstream deployments list{state}")
            self._print_newest_call()
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

    def _print_path(self) -> None:
        """Print what a shell needs to find the commands, if it does not."""
        own = Path(sysconfig.get_path("scripts")) / "slipstream"
        found = shutil.which("slipstream")
        if own.exists() and (found is None or not own.samefile(found)):
            path = f'export PATH={shlex.quote(str(own.parent))}:"$PATH"'
            self._printer.say(f"Commands:           {path}")

    def _print_newest_call(self) -> None:
        if self.demo is None and self.newest_call is not None:
            deployment_id, input_data = self.newest_call
            curl = self._trigger_call(deployment_id, "$KEY", input_data).curl()
            # in double quotes, for the shell to insert the key
            curl = curl.replace("'X-API-Key: $KEY'", '"X-API-Key: $KEY"')
            key = f"KEY=$(slipstream keys create --name curl{self._state_option()})"
            self._printer.say("\nCall it, with a key of your own:\n", "bold")
            self._printer.say(f"{key}\n{curl}\n")

    def _state_option(self) -> str:
        state = self._options.state
        default = state == Path(".slipstream").absolute()
        return "" if default else f" --state {shlex.quote(str(state))}"

    def _print_worker(self) -> None:
        runs = self._options.worker_concurrency
        runs_at_a_time = describe_concurrency(runs, tuple(Queue))
        text = f"a worker for {runs_at_a_time} is starting" if runs else "no worker here"
        self._printer.say(f"\nFlows of type api: {text}")

    def _document(self) -> dict[str, object]:
        options, demo = self._options, self.demo
        return {
            "url": options.url,
            "console": self._console_link(),
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

    def _console_link(self) -> str:
        """Return the link to the console; the token is in the fragment, which no log contains."""
        setup = f"setup#token={self.setup_token}" if self.setup_token else ""
        return f"{self._options.url}/console/{setup}"

    def _call(self, demo: Demo) -> TriggerCall:
        return self._trigger_call(demo.deployment_id, demo.key, demo.input_data)

    def _trigger_call(
        self, deployment_id: str, key: str, input_data: Mapping[str, Any]
    ) -> TriggerCall:
        return TriggerCall(
            host=self._options.host,
            port=self._options.port,
            path=f"/node/deployment-trigger/{deployment_id}/",
            key=key,
            input_data=input_data,
            tls=self._options.tls,
        )
