"""Batches: many inputs in one call, each answered for itself, in the deployment's own mode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from gateway.deployments.settings import ResponseFormat
from gateway.fast_path.call import Done, Pending, Result, Trigger
from gateway.fast_path.dispatch import Dispatcher
from gateway.ids import new_run_id
from gateway.runs.idempotency import HEADER
from gateway.web.unexpected_errors import as_gateway_error

_AT_ONCE = 64
"""Items of one batch in flight: others' calls are to have their turn, too."""
_OF_THE_CALL = ("data", "message", "fast_mode")
"""Members of a single call's answer that say nothing about the item."""


class BatchCalls:
    """Answers a batch by answering its items as single calls."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher

    def start(self, trigger: Trigger, items: list[Any], done: Done) -> Pending:
        """Have every item answered; `done` gets all results at once.

        What is wrong with an item is its own result.
        """
        batch = _Batch(self._dispatcher, trigger, items, done)
        batch.go_on()
        return batch


class _Batch:
    def __init__(
        self, dispatcher: Dispatcher, trigger: Trigger, items: list[Any], done: Done
    ) -> None:
        self._dispatcher = dispatcher
        self._trigger = trigger
        self._items = items
        self._done: Done | None = done
        self._next = 0
        self._in_flight: dict[int, Pending] = {}
        self._results: dict[int, dict[str, Any]] = {}

    def abandon(self) -> None:
        """See Pending."""
        self._done = None
        for pending in self._in_flight.values():
            pending.abandon()
        self._in_flight.clear()

    def go_on(self) -> None:
        """Begin with as many items as may be in flight, and answer when all are through."""
        while self._next < len(self._items) and len(self._in_flight) < _AT_ONCE:
            index = self._next
            self._next += 1
            self._begin(index)
        if self._done is not None and len(self._results) == len(self._items):
            done, self._done = self._done, None
            done(self._answer())

    def _begin(self, index: int) -> None:
        def ended(result: Result | Exception) -> None:
            self._in_flight.pop(index, None)
            self._results[index] = self._shown(index, result)
            self.go_on()

        try:
            trigger = self._item(index)
            self._in_flight[index] = self._dispatcher.start(trigger, ended)
        except Exception as error:  # noqa: BLE001 - the item's own
            self._results[index] = self._shown(index, error)

    def _item(self, index: int) -> Trigger:
        headers = dict(self._trigger.headers)
        headers[b"content-type"] = b"application/json"
        key = headers.get(HEADER)
        if key is not None:  # the batch's, made each item's own
            headers[HEADER] = b"%b/%d" % (key.strip().strip(b'"'), index)
        return replace(
            self._trigger,
            run_id=new_run_id(),
            headers=headers,
            body=orjson.dumps({"input_data": self._items[index]}),
            response_format=ResponseFormat.FLAT,
        )

    def _shown(self, index: int, result: Result | Exception) -> dict[str, Any]:
        if isinstance(result, Result):
            answered: Mapping[str, Any] = orjson.loads(result.body)
            kept = {name: it for name, it in answered.items() if name not in _OF_THE_CALL}
            return {"index": index, **kept}
        error = as_gateway_error(result, self._trigger.run_id.encode())
        return {
            "index": index,
            "status": "failed",
            "error": {"code": error.code, "message": error.message},
            "retryable": error.code.retryable,
            **error.details,
        }

    def _answer(self) -> Result:
        results = [self._results[index] for index in range(len(self._items))]
        statuses = [result["status"] for result in results]
        queued = "queued" in statuses or "running" in statuses
        answer: dict[str, Any] = {
            "status": "queued" if queued else "completed",
            "results": results,
            "failed": statuses.count("failed"),
        }
        if self._trigger.response_format is ResponseFormat.ENVELOPE:
            answer = {"status": "success", "message": "The batch was answered.", "data": answer}
        headers = [(b"content-type", b"application/json")]
        return Result(202 if queued else 200, orjson.dumps(answer), headers=headers)
