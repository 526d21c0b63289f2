"""Where the time of a call went, and what to do about it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from gateway.calls.advice import RULES, PartKind
from gateway.calls.service import FoundCall
from gateway.deployments.settings import DeploymentType, ExecutionMode
from gateway.flows.spec import NodeType
from gateway.metrics import STAGES
from gateway.runs.responses import known_code
from gateway.runs.run import Run
from gateway.runs.timeline import Span, SpanKind, Timeline
from gateway.storage.clock import now

MIN_SHARE = 0.2
"""Of the whole time: parts that took less are not advised about."""
_MAX_ADVISED = 2
_LEAST_OTHER = 0.01
"""Of the whole time: what is left over is not shown below that."""
_NODES: Mapping[str, PartKind] = {
    NodeType.INFERENCE: PartKind.INFERENCE_NODE,
    NodeType.PYTHON: PartKind.PYTHON_NODE,
    "http_request": PartKind.HTTP_NODE,
    "wait": PartKind.WAIT_NODE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of a call's time."""

    kind: PartKind
    name: str
    seconds: float
    begins: float
    """Seconds from the beginning of the call."""
    attempts: int = 1
    """How often a node was tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """The whole time, its parts in their order, and sentences for people."""

    seconds: float
    parts: Sequence[Part]
    findings: Sequence[str]


def explain(found: FoundCall, timeline: Timeline | None) -> Explanation:
    """Explain a call, with the timeline of its run if it has one."""
    call, run = found.call, found.run
    if run is not None and timeline is not None and run.mode is not ExecutionMode.FAST:
        seconds, parts = _of_run(found, run, timeline)
    elif call is not None:
        seconds, parts = call.seconds, _of_phases(call.phases)
    else:
        seconds, parts = _seconds_of(run), []
    rest = seconds - _covered(part for part in parts if part.kind is not PartKind.BOOT)
    if parts and rest > _LEAST_OTHER * seconds and not _is_batch(found):
        parts.append(Part(kind=PartKind.OTHER, name="other", seconds=rest, begins=seconds - rest))
    return Explanation(
        seconds=seconds, parts=parts, findings=list(_findings(found, seconds, parts))
    )


def _seconds_of(run: Run | None) -> float:
    """Return what a run took, or has taken until now."""
    assert run is not None
    return ((run.finished_at or now()) - run.created_at).total_seconds()


def _of_phases(phases: Mapping[str, float]) -> list[Part]:
    """Return the measured phases, one after the other."""
    parts: list[Part] = []
    begins = 0.0
    for stage in STAGES:
        if stage in phases:
            seconds = phases[stage] / 1e3
            parts.append(Part(kind=PartKind(stage), name=stage, seconds=seconds, begins=begins))
            begins += seconds
    return parts


def _of_run(found: FoundCall, run: Run, timeline: Timeline) -> tuple[float, list[Part]]:
    """Return the time of a run, and of the call that waited for it, with their parts."""
    call = found.call
    seconds = _seconds_of(run)
    parts: list[Part] = []
    if call is not None:
        parts = _of_phases(call.phases)
        seconds = max(call.seconds, seconds)
    before = sum(part.seconds for part in parts)
    parts += (
        Part(
            kind=_kind_of(span, run),
            name=_name_of(span, run),
            seconds=_length(span),
            begins=before + _begin(span, run),
            attempts=span.detail.get("attempts", 1),
        )
        for span in timeline.spans
        if span.kind in _SHOWN and _length(span) > 0.0
    )
    return seconds, parts


_SHOWN = frozenset({SpanKind.QUEUE, SpanKind.CLAIM, SpanKind.BOOT, SpanKind.NODE, SpanKind.FINISH})


def _kind_of(span: Span, run: Run) -> PartKind:
    if span.kind is SpanKind.NODE:
        return _NODES.get(span.detail.get("type", ""), PartKind.NODE)
    if span.kind is SpanKind.QUEUE:
        is_api = run.type is DeploymentType.API
        return PartKind.WORKER_QUEUE if is_api else PartKind.GATEWAY_QUEUE
    return PartKind(span.kind.value)


def _name_of(span: Span, run: Run) -> str:
    if span.kind is SpanKind.NODE and span.attempt not in (None, 1):
        return f"{span.name} (attempt {span.attempt})"
    if span.kind is SpanKind.QUEUE and run.attempt > 1:
        return "queue and earlier attempts"
    return span.name


def _begin(span: Span, run: Run) -> float:
    return 0.0 if span.started_at is None else (span.started_at - run.created_at).total_seconds()


def _length(span: Span) -> float:
    if span.started_at is None:
        seconds: float = span.detail.get("duration_seconds", 0.0)
        return seconds
    return ((span.ended_at or now()) - span.started_at) / timedelta(seconds=1)


def _covered(parts: Iterable[Part]) -> float:
    """Return the time in which there was at least one of these parts: nodes may overlap."""
    covered = end = 0.0
    for begins, ends in sorted((part.begins, part.begins + part.seconds) for part in parts):
        covered += max(0.0, ends - max(begins, end))
        end = max(end, ends)
    return covered


def _findings(found: FoundCall, seconds: float, parts: Sequence[Part]) -> Iterator[str]:
    yield from _failure(found)
    longest = sorted(parts, key=lambda part: part.seconds, reverse=True)[:_MAX_ADVISED]
    for part in longest:
        share = part.seconds / seconds if seconds else 0.0
        if share >= MIN_SHARE:
            rule = RULES[part.kind]
            yield f"{part.name} took {100 * share:.0f} %: {rule.cause}. {rule.action}."
    yield from _repetitions(found, parts)
    yield from _missing(found)


def _failure(found: FoundCall) -> Iterator[str]:
    error = None if found.run is None else found.run.error
    code = None if found.call is None else found.call.code
    if error is not None:
        code = error.code
    if code is None:
        return
    where = "" if error is None or error.node_id is None else f", in the node '{error.node_id}'"
    known = known_code(code)
    if known is None:
        yield f"It failed with {code}{where}."
    else:
        yield f"It failed with {known.value}{where}: {known.spec.meaning} {known.spec.advice}"


def _repetitions(found: FoundCall, parts: Sequence[Part]) -> Iterator[str]:
    for part in parts:
        if part.attempts > 1:
            yield f"{part.name}: it was tried {part.attempts} times, which its time contains."
    if found.run is not None and found.run.attempt > 1:
        yield (
            f"The run was started {found.run.attempt} times, as the processes that executed it "
            "before ended: see their logs, and the panel 'Workers that ended'."
        )


def _missing(found: FoundCall) -> Iterator[str]:
    """Say why parts are missing."""
    if found.call is None and found.run is not None and found.run.mode is ExecutionMode.FAST:
        yield (
            "Its phases were not kept: it was answered quickly. The header Server-Timing of its "
            "answer has them, and with SLIPSTREAM_CALL_LOG=all later calls are kept."
        )
    elif found.call is not None and _is_batch(found):
        yield (
            "It has no run of its own: it is a batch, or repeats another call. Those of a batch: "
            f"slipstream runs list --request-id {found.call.request_id}"
        )


def _is_batch(found: FoundCall) -> bool:
    """Whether a call has succeeded by other calls: it is a batch, or repeats one."""
    call = found.call
    is_measured = call is not None and len(call.phases) == len(STAGES)
    return call is not None and call.code is None and found.run is None and not is_measured
