"""What it means that a part of a call took long, and what to do about it: a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class PartKind(StrEnum):
    """What a part of a call's time passed with."""

    AUTH = "auth"
    """Finding the key and the deployment."""
    PARSE = "parse"
    """Making tensors, or the flow's input, of the body."""
    QUEUE = "queue"
    """Of a fast call: waiting in the inference server."""
    INFER = "infer"
    """Of a fast call: computing."""
    SERIALISE = "serialise"
    """Writing the answer as JSON."""
    WORKER_QUEUE = "worker_queue"
    """Of a run of type `api`, until a worker took it."""
    GATEWAY_QUEUE = "gateway_queue"
    """Of a run of type `server`, until the gateway began it."""
    CLAIM = "claim"
    """Until the first node: loading the version."""
    BOOT = "boot"
    """The wait of a node for a booting inference server, which is a part of the node."""
    NODE = "node"
    INFERENCE_NODE = "inference_node"
    HTTP_NODE = "http_node"
    WAIT_NODE = "wait_node"
    PYTHON_NODE = "python_node"
    FINISH = "finish"
    """Writing the result of a run."""
    OTHER = "other"
    """What the parts leave over."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Two sentences for people."""

    cause: str
    action: str


RULES: Mapping[PartKind, Rule] = {
    PartKind.AUTH: Rule(
        "the key or the deployment was read from the database, or its counter was",
        "The next call finds them in memory. If it is so each time, see the panel 'Queries of the"
        " database'",
    ),
    PartKind.PARSE: Rule(
        "the body is large, or the gateway is busy",
        "Send binary tensors over /v2 instead of JSON, or see the panel 'Lag of event loops' and"
        " raise --workers",
    ),
    PartKind.QUEUE: Rule(
        "other calls were ahead of it in the inference server",
        "Serve more replicas (slipstream models serve NAME --replicas N), or let calls share runs"
        " (--batching auto); see the panel 'Wait for a run of the model'",
    ),
    PartKind.INFER: Rule(
        "the model computed, together with the calls that shared its run",
        "A smaller or quantised model, fewer rows in a call, or a faster processor; see the panel"
        " 'Time in ONNX Runtime'",
    ),
    PartKind.SERIALISE: Rule(
        "the output is large",
        "Return fewer values, or read binary tensors over /v2",
    ),
    PartKind.WORKER_QUEUE: Rule(
        "no worker was free, or none ran",
        "Start more of them (slipstream worker --concurrency N on any machine), or set the type"
        " `server`; see the panel 'Age of the oldest waiting run'",
    ),
    PartKind.GATEWAY_QUEUE: Rule(
        "as many runs as the gateway executes at once were ahead of it",
        "Raise SLIPSTREAM_SERVER_RUNS, or start more gateways (--workers); see the panel 'Wait for"
        " the start'",
    ),
    PartKind.CLAIM: Rule(
        "its version was loaded and compiled",
        "The next run of the version finds it in memory; a process keeps only some flows",
    ),
    PartKind.BOOT: Rule(
        "the inference server of a model was asleep, and booted",
        "Keep it awake (slipstream models serve NAME --idle-timeout 0); see the panel"
        " 'Cold starts'",
    ),
    PartKind.NODE: Rule(
        "the node computed",
        "Simplify its expressions, or have it take a smaller input",
    ),
    PartKind.INFERENCE_NODE: Rule(
        "the model waited for others, and computed",
        "See the panels 'Wait for a run' and 'Time in ONNX Runtime' of the model: more replicas for"
        " the one, a smaller model for the other",
    ),
    PartKind.HTTP_NODE: Rule(
        "another server took its time to answer",
        "Ask its operator, or lower the node's timeout",
    ),
    PartKind.WAIT_NODE: Rule("the flow says so", "Shorten the node's wait"),
    PartKind.PYTHON_NODE: Rule(
        "the function of an installed package took its time",
        "Profile it with this run's input",
    ),
    PartKind.FINISH: Rule(
        "its result was written",
        "Return smaller outputs (`include_node_outputs: false`), or see the panel 'Queries of the"
        " database'",
    ),
    PartKind.OTHER: Rule(
        "no phase has it: the body arrived slowly, the inference server was far, or the gateway was"
        " busy",
        "Compare it with the client's own times, and see the panel 'Lag of event loops'",
    ),
}
"""One rule for each kind. Panels are those of `slipstream monitoring`."""
