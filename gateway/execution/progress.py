"""Reports finished nodes of a run while it is running."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

import orjson

from gateway.flows.result import NodeResult
from gateway.runs.run import MAX_NODE_OUTPUTS_BYTES
from gateway.storage.failures import log_failure
from telemetry.logs import logger

INTERVAL_SECONDS = 0.5
"""Delay before the first batch and between batches. Shorter runs report only their result."""
_OMITTED = "the output is omitted: the outputs of all nodes exceed their shared limit"

Write = Callable[[Mapping[str, bytes]], Awaitable[bool]]
"""Writes entries of `node_outputs` as JSON, by node id. Returns False if the lease is lost."""

log = logger("gateway.execution")


class ProgressReporter:
    """Collects the finished nodes of one run and writes them in batches. Short runs cost one timer.

    Best effort: nodes of a batch that cannot be written are still part of the run's result.
    """

    def __init__(self, write: Write) -> None:
        self._write = write
        self._nodes: list[NodeResult] = []
        self._bytes_left = MAX_NODE_OUTPUTS_BYTES
        self._writing: asyncio.Task[None] | None = None
        self._timer = self._schedule()

    def add(self, node: NodeResult) -> None:
        """Add a node that has ended."""
        self._nodes.append(node)

    async def stop(self) -> None:
        """Stop reporting, after the current write."""
        if self._writing is not None:
            await self._writing
        self._timer.cancel()

    def _schedule(self) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(INTERVAL_SECONDS, self._on_timer)

    def _on_timer(self) -> None:
        if self._nodes:
            self._writing = asyncio.create_task(self._flush())
        else:
            self._timer = self._schedule()

    async def _flush(self) -> None:
        nodes, self._nodes = self._nodes, []
        try:
            held = await self._write({node.id: self._entry(node) for node in nodes})
        except Exception as error:  # noqa: BLE001 - see `log_failure`
            log_failure(log, "progress_not_written", error)
            held = True
        if held:
            self._timer = self._schedule()

    def _entry(self, node: NodeResult) -> bytes:
        entry = orjson.dumps(node.to_json())
        if len(entry) > self._bytes_left:
            without_output = replace(node, output=None, notes=(*node.notes, _OMITTED))
            return orjson.dumps(without_output.to_json())
        self._bytes_left -= len(entry)
        return entry
