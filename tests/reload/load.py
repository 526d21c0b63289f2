"""Calls of real clients, without retries of their own, and what becomes of them."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import grpc

from protos import open_inference_pb2 as pb
from tests.stub import InferenceStub
from tests.system.flow_documents import transform_flow
from tests.system.installation import Installation, chain
from tests.system.runs import Runs

TIMEOUT_SECONDS = 60.0
_ROW = [5.1, 3.5, 1.4, 0.2]
_FAST_BODY = json.dumps({"input_data": {"x": [_ROW]}})
_SYNC_BODY = json.dumps({"input_data": {"x": 2}})
_PAUSE_SECONDS = 0.002


@dataclass(frozen=True, kw_only=True)
class Target:
    """What is called."""

    port: int
    grpc_port: int
    key: str
    fast: str
    """A fast deployment of `iris`."""
    sync: tuple[str, ...]
    """Sync deployments that double `x`."""

    @property
    def headers(self) -> dict[str, str]:
        """Headers of every call."""
        return {"X-API-Key": self.key, "Content-Type": "application/json"}


def target_of(installation: Installation) -> Target:
    """Deploy what is called under load."""
    runs = Runs(installation)
    fast = installation.deploy(chain("iris"))
    sync = tuple(runs.deploy(transform_flow(), "sync", kind) for kind in ("server", "api"))
    target = Target(
        port=installation.up.port,
        grpc_port=installation.up.grpc_port,
        key=installation.key,
        fast=fast,
        sync=sync,
    )
    for deployment in sync:
        runs.call(deployment, {"x": 2})
    return target


@dataclass
class Outcome:
    """Answers by kind of call, and everything that is no good answer."""

    good: Counter[str] = field(default_factory=Counter)
    bad: Counter[str] = field(default_factory=Counter)
    slowest_seconds: float = 0.0

    @property
    def calls(self) -> int:
        """All calls."""
        return self.good.total() + self.bad.total()


class Load:
    """Clients in threads, each with one call at a time."""

    def __init__(
        self, target: Target, *, clients: int, pause_seconds: float = _PAUSE_SECONDS
    ) -> None:
        """Start `clients` of each kind with `running`.

        Each waits for `pause_seconds` between two calls, so that the machine is not only busy with
        clients.
        """
        self.outcome = Outcome()
        self._target = target
        self._clients = clients
        self._pause_seconds = pause_seconds
        self._stopping = threading.Event()
        self._lock = threading.Lock()

    @contextmanager
    def running(self) -> Iterator[Outcome]:
        """Call until the context ends."""
        kinds = (self._keep_alive, self._new_connections, self._sync, self._grpc)
        threads = [threading.Thread(target=kind) for kind in kinds for _ in range(self._clients)]
        for thread in threads:
            thread.start()
        try:
            yield self.outcome
        finally:
            self._stopping.set()
            for thread in threads:
                thread.join()

    def until(self, calls: int) -> None:
        """Wait for so many calls."""
        while self.outcome.calls < calls:
            time.sleep(0.05)

    def _keep_alive(self) -> None:
        client = self._connect()
        self._repeat("fast, connection kept", lambda: self._fast(client))
        client.close()

    def _new_connections(self) -> None:
        def call() -> None:
            client = self._connect()
            try:
                self._fast(client)
            finally:
                client.close()

        self._repeat("fast, new connection", call)

    def _sync(self) -> None:
        client = self._connect()
        turn = iter(range(2**62))

        def call() -> None:
            ids = self._target.sync
            answer = self._post(client, ids[next(turn) % len(ids)], _SYNC_BODY)
            assert answer["output_data"] == {"y": 4}, answer

        self._repeat("sync", call)
        client.close()

    def _grpc(self) -> None:
        tensor = pb.ModelInferRequest.InferInputTensor(name="x", datatype="FP32", shape=[1, 4])
        tensor.contents.fp32_contents.extend(_ROW)
        request = pb.ModelInferRequest(model_name="iris", inputs=[tensor])
        metadata = (("x-api-key", self._target.key),)
        # Not even those that are safe, for calls that the server has not seen.
        options = [("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(f"127.0.0.1:{self._target.grpc_port}", options) as channel:
            stub = InferenceStub(channel)
            self._repeat(
                "gRPC", lambda: stub.ModelInfer(request, timeout=TIMEOUT_SECONDS, metadata=metadata)
            )

    def _connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self._target.port, timeout=TIMEOUT_SECONDS)

    def _fast(self, client: http.client.HTTPConnection) -> None:
        answer = self._post(client, self._target.fast, _FAST_BODY)
        assert "output_data" in answer, answer

    def _post(
        self, client: http.client.HTTPConnection, deployment: str, body: str
    ) -> dict[str, object]:
        path = f"/node/deployment-trigger/{deployment}/"
        client.request("POST", path, body, self._target.headers)
        response = client.getresponse()
        content = response.read()
        assert response.status == 200, (response.status, content)
        answer: dict[str, object] = json.loads(content)
        return answer

    def _repeat(self, kind: str, call: Callable[[], object]) -> None:
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                call()
            except (AssertionError, OSError, http.client.HTTPException, grpc.RpcError) as error:
                with self._lock:
                    self.outcome.bad[f"{kind}: {error!r}"[:400]] += 1
            else:
                with self._lock:
                    self.outcome.good[kind] += 1
            with self._lock:
                seconds = time.monotonic() - began
                self.outcome.slowest_seconds = max(self.outcome.slowest_seconds, seconds)
            time.sleep(self._pause_seconds)
