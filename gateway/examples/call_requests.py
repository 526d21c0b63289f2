"""The requests that call a deployment, for exports: by the rules of the examples. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from gateway.deployments.settings import ExecutionMode
from gateway.examples.absences import reason_for_absence
from gateway.examples.call_target import CallTarget, Json
from gateway.examples.choices import ExampleChoices, Language, Variant
from gateway.examples.example_spec import ExampleSpec

RUN_VARIABLE = "flow_run_id"
"""The variable that stands for the run which a call has started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRequest:
    """A request to a deployment, or for the run that it has started."""

    name: str
    method: str
    path: str
    """With its query; {flow_run_id} stands for the run."""
    status: int
    """Of its answer."""
    body: Json | None = None
    headers: Mapping[str, str]
    """Without the API key."""
    needs_idempotency_key: bool = False
    starts_run: bool = False


def requests_of(target: CallTarget, choices: ExampleChoices) -> Iterator[CallRequest]:
    """Yield the requests that a deployment in its mode answers."""
    for variant in (Variant.WAIT, Variant.POLL, Variant.BATCH):
        spec = ExampleSpec(
            target=target,
            choices=choices,
            language=Language.CURL,
            variant=variant,
            is_long=False,
        )
        if reason_for_absence(spec) is not None:
            continue
        yield _call(spec)
        if spec.follows:
            yield CallRequest(
                name="Read the run, waiting up to 20 s",
                method="GET",
                path=f"/node/flow-runs/{{{RUN_VARIABLE}}}/?wait=20",
                status=200,
                headers={},
            )


def _call(spec: ExampleSpec) -> CallRequest:
    target = spec.target
    headers = {"Content-Type": "application/json"}
    if spec.follows and target.mode is ExecutionMode.SYNC:
        headers["Prefer"] = "respond-async"
    is_batch = spec.variant is Variant.BATCH
    is_accepted = spec.follows or target.mode is ExecutionMode.ASYNC
    names = {Variant.BATCH: "Call with several inputs", Variant.POLL: "Start a run"}
    given = target.input_data
    return CallRequest(
        name=names.get(spec.variant, "Call and wait for the answer"),
        method="POST",
        path=spec.url.removeprefix(target.base_url),
        status=202 if is_accepted else 200,
        body={"input_data": [given, given] if is_batch else given},
        headers=headers,
        needs_idempotency_key=spec.sends_idempotency_key,
        starts_run=spec.follows,
    )
