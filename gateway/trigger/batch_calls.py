"""Batches: many inputs in one call, each answered for itself, in the deployment's own mode."""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter
from typing import Any

import orjson

from gateway.deployments.settings import ResponseFormat
from gateway.fast_path.deployment_call import DeploymentCall
from gateway.fast_path.rollout_calls import enter_rollout
from gateway.ids import new_run_id, request_id_of
from gateway.runs.idempotency import HEADER as IDEMPOTENCY_KEY
from gateway.web.problems import Headers
from gateway.web.unexpected_errors import as_gateway_error
from protos.errors import ErrorCode

_MAX_IN_FLIGHT = 64
"""Items of one batch in flight at once, so that other callers get their turn."""
_CALL_MEMBERS = ("data", "message", "fast_mode")
"""Members of a single call's body that say nothing about the item."""

Json = dict[str, Any]
"""Any: JSON values."""


class BatchCalls:
    """Answers a batch by answering its items as single calls."""

    def start(self, call: DeploymentCall, items: list[bytes]) -> _Batch:
        """Have every item, the body of a call, answered; `call` gets all results at once.

        An item's error is the result of that item.
        """
        batch = _Batch(call, items)
        batch.start_items()
        return batch


class _Batch:
    """The items of one batch, and their results."""

    def __init__(self, call: DeploymentCall, items: list[bytes]) -> None:
        self._call = call
        self._items = items
        self._finished = False
        self._starting = False
        tracer = call.services.tracer
        if tracer is not None:
            call.trace, call.hops = tracer.begin(call.headers), []
        self._next = 0
        self._in_flight: dict[int, _Item] = {}
        self._results: dict[int, Json] = {}

    def abandon(self) -> None:
        """See RunningCall."""
        self._finished = True
        for item in self._in_flight.values():
            item.abandon()
            item.count_in_rollout(ErrorCode.CANCELLED)
        self._in_flight.clear()

    def start_items(self) -> None:
        """Start as many items as may be in flight; respond when all have their results."""
        if self._starting:
            return  # an item that has its result at once: the loop below goes on
        self._starting = True
        while self._next < len(self._items) and len(self._in_flight) < _MAX_IN_FLIGHT:
            index = self._next
            self._next += 1
            item = self._in_flight[index] = _Item(self._call, self, index)
            item.start(self._items[index])
        self._starting = False
        if not self._finished and len(self._results) == len(self._items):
            self._finished = True
            self._respond()

    def set_result(self, index: int, result: Json) -> None:
        """Take an item's result."""
        self._in_flight.pop(index, None)
        self._results[index] = {"index": index, **result}
        self.start_items()

    def _respond(self) -> None:
        results = [self._results[index] for index in range(len(self._items))]
        statuses = [result["status"] for result in results]
        queued = "queued" in statuses or "running" in statuses
        body: Json = {
            "status": "queued" if queued else "completed",
            "results": results,
            "failed": statuses.count("failed"),
        }
        if self._call.response_format is ResponseFormat.ENVELOPE:
            body = {"status": "success", "message": "The batch was answered.", "data": body}
        headers = [(b"content-type", b"application/json")]
        self._call.succeed(202 if queued else 200, headers, orjson.dumps(body))


class _Item(DeploymentCall):
    """One input of a batch."""

    def __init__(self, call: DeploymentCall, batch: _Batch, index: int) -> None:
        self.services = call.services
        self.route = call.route
        self.began = call.began
        self.authenticated = call.authenticated
        self.run_id = new_run_id()
        self.response_format = ResponseFormat.FLAT
        headers = {
            **call.headers,
            b"content-type": b"application/json",
            b"x-request-id": request_id_of(call.headers, call.run_id),
        }
        key = headers.get(IDEMPOTENCY_KEY)
        if key is not None:  # the batch's key, made the item's own
            headers[IDEMPOTENCY_KEY] = b"%b/%d" % (key.strip().strip(b'"'), index)
        self.headers = headers
        if call.trace is not None:
            self.trace, self.hops = call.trace, call.hops
        self._batch = batch
        self._index = index

    def start(self, body: bytes) -> None:
        """Have the item answered; its errors are its result."""
        route = self.route
        assert route is not None
        try:
            if route.rollout is not None:
                route = self.route = enter_rollout(self, route, route.rollout, body)
            self.execute(route, body)
        except Exception as error:  # noqa: BLE001 - `fail` knows which are bugs
            self.fail(error)

    def succeed(
        self,
        status: int,
        headers: Headers,  # noqa: ARG002 - likewise
        body: bytes,
        *,
        parse_seconds: float | None = None,  # noqa: ARG002 - it is the batch that is measured
    ) -> None:
        """See DeploymentCall."""
        self.status = status
        self.count_in_rollout(None)
        self._set_result(body)

    def _set_result(self, body: bytes) -> None:
        answered: Mapping[str, Any] = orjson.loads(body)
        kept = {name: it for name, it in answered.items() if name not in _CALL_MEMBERS}
        self._batch.set_result(self._index, kept)

    def succeed_fast(self, output_data: bytes) -> None:
        """See DeploymentCall."""
        self.services.accounting.add(self)
        self._set_result(b"".join(self.fast_body(output_data)))

    def fail(self, error: Exception) -> None:
        """See DeploymentCall."""
        known = as_gateway_error(error, self.run_id.encode())
        self.count_in_rollout(known.code)
        result = {
            "status": "failed",
            "error": {"code": known.code, "message": known.message},
            "retryable": known.code.retryable,
            **known.details,
        }
        self._batch.set_result(self._index, result)

    def count_in_rollout(self, error: ErrorCode | None) -> None:
        """Have the item counted as a call of its version; else only the batch counts."""
        if self.rollout_began:
            self.ended, self.error = perf_counter(), error
            self.services.accounting.add(self)
