"""Calls about runs, made and timed against one installation."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from statistics import median

import orjson

from benchmarks.caller import Caller
from benchmarks.forms import Call
from benchmarks.installation import SetUpError
from benchmarks.model import WrongAnswerError
from benchmarks.sites import Json, Site
from benchmarks.wire import wire

_WARM_SECONDS = 1.0
_DRAIN_SECONDS = 600.0
_PAUSE_SECONDS = 0.2
_PAGE = 200

_FLOW: Json = {
    "name": "trivial",
    "nodes": [
        {"id": "input", "type": "api_input", "config": {}},
        {"id": "twice", "type": "transform", "config": {"fields": {"y": "input.x * 2"}}},
        {"id": "output", "type": "api_output", "config": {"fields": {"y": "twice.y"}}},
    ],
    "edges": [
        {"source": "input", "target": "twice"},
        {"source": "twice", "target": "output"},
    ],
}
_BODY = orjson.dumps({"input_data": {"x": 21}})


class RunCalls:
    """A trivial flow in an installation, deployed as needed."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._flow_id = site.save(_FLOW)

    def deploy(self, mode: str, kind: str) -> Call:
        """Deploy the flow; return the call that triggers it."""
        path = self._site.deploy(self._flow_id, execution_mode=mode, deployment_type=kind)
        headers = {"Content-Type": "application/json", **self._site.headers}
        return Call(path=path, body=_BODY, headers=headers, check=_check)

    def p50_ms(self, requests: Sequence[bytes], seconds: float) -> float:
        """Return the median that one caller sees, in milliseconds."""
        with Caller(self._site.port) as caller:
            caller.time(requests, _WARM_SECONDS)
            return median(caller.time(requests, seconds)) / 1e3

    def once(self, call: Call) -> Json:
        """Make a call; return its answer."""
        with Caller(self._site.port) as caller:
            document: Json = orjson.loads(caller.ask(self.trigger(call)).body)
        return document

    def trigger(self, call: Call) -> bytes:
        """Return the request of a trigger."""
        return wire(call, self._site.port)

    def get(self, path: str) -> bytes:
        """Return the request that looks at `path`."""
        sent = {"Host": f"127.0.0.1:{self._site.port}", **self._site.headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
        return f"GET {path} HTTP/1.1\r\n{head}\r\n".encode()

    def ended(self, deployment_id: str) -> list[float]:
        """Wait until every run of a deployment has ended; return when they did, rising, seconds.

        Raises:
            SetUpError: some go on and on, or some did not complete.
        """
        end = time.monotonic() + _DRAIN_SECONDS
        while any(self._some(deployment_id, status) for status in ("queued", "running")):
            if time.monotonic() > end:
                raise SetUpError(f"runs have not ended after {_DRAIN_SECONDS:.0f} s")
            time.sleep(_PAUSE_SECONDS)
        times: list[float] = []
        query: dict[str, str | int] = {"deployment": deployment_id, "limit": _PAGE}
        while True:
            page = self._site.get("/node/flow-runs/", **query)
            for run in page["items"]:
                if run["status"] != "completed":
                    raise SetUpError(f"a run did not complete: {run}")
                times.append(datetime.fromisoformat(run["finished_at"]).timestamp())
            if page["next_cursor"] is None:
                return sorted(times)
            query["cursor"] = page["next_cursor"]

    def _some(self, deployment_id: str, status: str) -> bool:
        query = {"deployment": deployment_id, "status": status}
        return bool(self._site.get("/node/flow-runs/", limit=1, **query)["items"])


def deployment_of(call: Call) -> str:
    """Return the id of the deployment that a call triggers."""
    return call.path.strip("/").rpartition("/")[2]


def _check(content: bytes) -> None:
    if orjson.loads(content).get("output_data") != {"y": 42}:
        raise WrongAnswerError(f"expected 42, got {content[:300]!r}")
