"""Writes the examples of a deployment: the same for REST and the command line. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import uuid4

from gateway.examples.absences import reason_for_absence
from gateway.examples.call_target import CallTarget, GrpcTarget
from gateway.examples.choices import ExampleChoices, Language, Variant
from gateway.examples.example_spec import ExampleSpec
from gateway.examples.languages import PROFILES
from gateway.examples.literals import LITERALS, python_literal, visible
from gateway.examples.notes import INPUT_FILE, notes_of
from gateway.examples.numpy_tensors import numpy_tensors
from gateway.examples.rendering import render
from gateway.examples.tokens import Token, highlight
from gateway.examples.typescript_types import type_of_input, type_of_outputs

MAX_LITERAL_BYTES = 4096
"""Of `input_data` as JSON in code; code reads what is longer from INPUT_FILE."""
_SUMMARIES: Mapping[Variant, str] = {
    Variant.WAIT: "waits for completion and returns results",
    Variant.START: "starts a run and returns its id",
    Variant.POLL: "starts a run and polls for its result",
    Variant.EVENTS: "starts a run and follows its events until it ends",
    Variant.BATCH: "sends several inputs in one call",
    Variant.WEBHOOK: "receives the events of its runs",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class BodySlot:
    """Where the literal of `input_data` stands."""

    index: int
    """Of the first token."""
    count: int
    """Tokens whose text, joined, is the literal."""
    literal: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """Code that calls a deployment, or receives its webhook."""

    language: Language
    variant: Variant
    title: str
    filename: str
    install: str | None
    run: str
    notes: Sequence[str]
    code: str
    tokens: Sequence[Token]
    body_slots: Sequence[BodySlot]


@dataclass(frozen=True, slots=True, kw_only=True)
class AbsentExample:
    """A pair without an example."""

    language: Language
    variant: Variant
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InputFile:
    """A body that is too long for the code."""

    name: str
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleSet:
    """The chosen examples, and the pairs that have none."""

    items: Sequence[Example]
    absent: Sequence[AbsentExample]
    input_file: InputFile | None
    """What examples read that have no body slot."""


def write_examples(target: CallTarget, choices: ExampleChoices) -> ExampleSet:
    """Write the chosen examples; takes some milliseconds each, so not on an event loop."""
    items: list[Example] = []
    absent: list[AbsentExample] = []
    compact = json.dumps(target.input_data, ensure_ascii=False)
    is_long = len(compact.encode()) > MAX_LITERAL_BYTES
    for language, variant in _chosen(choices):
        spec = ExampleSpec(
            target=target, choices=choices, language=language, variant=variant, is_long=is_long
        )
        reason = reason_for_absence(spec)
        if reason is None:
            items.append(_example(spec))
        else:
            absent.append(AbsentExample(language=language, variant=variant, reason=reason))
    content = f'{{"input_data": {compact}}}\n'
    file = InputFile(name=INPUT_FILE, content=content) if is_long else None
    return ExampleSet(items=items, absent=absent, input_file=file)


def _chosen(choices: ExampleChoices) -> Iterator[tuple[Language, Variant]]:
    for language in PROFILES:
        for variant in Variant:
            if choices.language in (None, language) and choices.variant in (None, variant):
                yield language, variant


def _example(spec: ExampleSpec) -> Example:
    language, variant, profile = spec.language, spec.variant, PROFILES[spec.language]
    inlines = spec.has_body and not spec.reads_file
    literal = LITERALS[language](spec.target.input_data) if inlines else ""
    rendered = render(profile.template, literal, _facts(spec))
    ends = [slot + len(literal) for slot in rendered.slots]
    tokens = highlight(rendered.code, profile.lexer, [*rendered.slots, *ends])
    filename = profile.filename(variant)
    return Example(
        language=language,
        variant=variant,
        title=f"{profile.title}: {_SUMMARIES[variant]}",
        filename=filename,
        install=profile.install if spec.has_body else profile.webhook_install,
        run=profile.run.format(filename=filename),
        notes=list(notes_of(spec)),
        code=rendered.code,
        tokens=tokens,
        body_slots=list(_slots(tokens, rendered.slots, literal)),
    )


def _facts(spec: ExampleSpec) -> dict[str, object]:
    """Return the variables of the templates."""
    name, summary = visible(spec.target.name), _SUMMARIES[spec.variant]
    return {
        "spec": spec,
        "headline": f"{name} (mode {spec.target.mode}): {summary}",
        "name": name.replace("\\", "/").replace('"', "'"),
        "summary": summary,
        "notes": list(notes_of(spec)),
        "input_file": INPUT_FILE,
        "idempotency_key": str(uuid4()),
        **_facts_of_language(spec),
    }


def _facts_of_language(spec: ExampleSpec) -> dict[str, object]:
    target = spec.target
    if spec.language is Language.TYPESCRIPT:
        outputs = target.output_tensors
        return {
            "input_type": type_of_input(target.input_schema),
            "output_type": "Record<string, unknown>"
            if outputs is None
            else type_of_outputs(outputs),
        }
    if spec.language is Language.GRPC_PYTHON and isinstance(target.grpc, GrpcTarget):
        return {
            "tensors": list(numpy_tensors(target.grpc.inputs, target.input_data)),
            "outputs": [python_literal(name) for name in target.grpc.outputs],
        }
    return {}


def _slots(tokens: Sequence[Token], offsets: Sequence[int], literal: str) -> Iterator[BodySlot]:
    """Yield the slots at `offsets`, counted in tokens."""
    starts, place = {}, 0
    for index, (_, text) in enumerate(tokens):
        starts[place] = index
        place += len(text)
    starts[place] = len(tokens)
    for offset in offsets:
        first = starts[offset]
        yield BodySlot(index=first, count=starts[offset + len(literal)] - first, literal=literal)
