"""Tells of the nodes of a run while it goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

import orjson
from sqlalchemy.exc import SQLAlchemyError

from gateway.flows.result import NodeResult
from gateway.runs.run import MAX_NODE_OUTPUTS_BYTES
from telemetry.logs import logger, reason_of

INTERVAL_SECONDS = 0.5
"""Before the first batch, and between two: what is over sooner tells of its nodes by its end."""
_LEFT_OUT = "the output is left out here: those before it have filled the room for all"

Write = Callable[[Mapping[str, bytes]], Awaitable[bool]]
"""Takes entries of `node_outputs` as JSON, by node id; False: nobody wants them any more."""

log = logger("gateway.execution")


class ProgressReporter:
    """The nodes of one run, gathered and written in batches. Costs a short run one timer.

    Best effort: where the database does not take a batch, its nodes are in the ending all the same.
    """

    def __init__(self, write: Write) -> None:
        self._write = write
        self._nodes: list[NodeResult] = []
        self._room = MAX_NODE_OUTPUTS_BYTES
        self._writing: asyncio.Task[None] | None = None
        self._timer = self._timed()

    def note(self, node: NodeResult) -> None:
        """Remember that a node has ended."""
        self._nodes.append(node)

    async def stop(self) -> None:
        """Write nothing more; what is being written comes to its end first."""
        if self._writing is not None:
            await self._writing
        self._timer.cancel()

    def _timed(self) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(INTERVAL_SECONDS, self._due)

    def _due(self) -> None:
        if self._nodes:
            self._writing = asyncio.create_task(self._flush())
        else:
            self._timer = self._timed()

    async def _flush(self) -> None:
        nodes, self._nodes = self._nodes, []
        try:
            wanted = await self._write({node.id: self._entry(node) for node in nodes})
        except (SQLAlchemyError, OSError) as error:
            log.warning("progress_not_written", reason=reason_of(error))
            wanted = True
        if wanted:
            self._timer = self._timed()

    def _entry(self, node: NodeResult) -> bytes:
        entry = orjson.dumps(node.to_json())
        if len(entry) > self._room:
            bare = replace(node, output=None, notes=(*node.notes, _LEFT_OUT))
            return orjson.dumps(bare.to_json())
        self._room -= len(entry)
        return entry
