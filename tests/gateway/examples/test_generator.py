"""Example code as text: tokens, slots, notes, names, and what Postman can import."""

from __future__ import annotations

import ast
import json
import shlex
from dataclasses import replace
from itertools import product

import pytest

from gateway.deployments.settings import ExecutionMode, ResponseFormat
from gateway.examples.choices import ExampleChoices, KeySource, Language, Variant
from gateway.examples.generator import Example, write_examples
from gateway.examples.literals import LITERALS
from tests.gateway.examples.targets import CASES, LITERAL_CASES, MASK, all_targets, target

EVERY_CHOICE = [
    ExampleChoices(key=key, retry=retry, version=3 if retry else None)
    for key, retry in product(KeySource, (True, False))
]
COVERING = (EVERY_CHOICE[0], EVERY_CHOICE[-1])


def one(
    language: Language, variant: Variant, choices: ExampleChoices | None = None, **fields: object
) -> Example:
    """Return one example."""
    chosen = replace(choices or ExampleChoices(), language=language, variant=variant)
    (found,) = write_examples(target(**fields), chosen).items
    return found


@pytest.mark.parametrize(
    "choices",
    [
        pytest.param(choices, marks=() if choices in COVERING else pytest.mark.long)
        for choices in EVERY_CHOICE
    ],
    ids=str,
)
def test_code_is_tidy_and_its_tokens_and_slots_are_right(choices: ExampleChoices) -> None:
    for call_target in all_targets():
        written = write_examples(call_target, choices)
        assert {it.language for it in (*written.items, *written.absent)} == set(Language)
        for example in written.items:
            check_tokens(example, LITERALS[example.language](call_target.input_data))
            check_lines(example)
            inlined = written.input_file is None and example.variant is not Variant.WEBHOOK
            assert bool(example.body_slots) == inlined


def check_tokens(example: Example, literal: str) -> None:
    assert "".join(text for _, text in example.tokens) == example.code
    for slot in example.body_slots:
        tokens = example.tokens[slot.index : slot.index + slot.count]
        assert "".join(text for _, text in tokens) == slot.literal == literal


def check_lines(example: Example) -> None:
    lines = example.code.split("\n")
    assert lines[-1] == ""
    assert lines[-2] != ""
    assert not [line for line in lines if line != line.rstrip()]
    assert "\n\n\n\n" not in example.code
    assert max(map(len, lines)) < 200
    if example.filename.endswith(".py"):
        ast.parse(example.code)


@pytest.mark.parametrize("name", LITERAL_CASES)
def test_literals_are_those_of_the_console(name: str) -> None:
    case = LITERAL_CASES[name]
    value = json.loads(case["json"])
    forms = {
        "shell": (Language.CURL, Language.HTTPIE),
        "python": (Language.PYTHON, Language.GRPC_PYTHON),
        "javascript": (Language.JAVASCRIPT, Language.TYPESCRIPT),
        "go": (Language.GO,),
    }
    for form, languages in forms.items():
        for language in languages:
            assert LITERALS[language](value) == case[form], language


def test_a_slot_can_be_filled_with_another_literal() -> None:
    example = one(Language.PYTHON, Variant.WAIT)
    (slot,) = example.body_slots
    texts = [text for _, text in example.tokens]
    texts[slot.index : slot.index + slot.count] = ['{"other": None}']
    assert 'trigger_deployment({"other": None})' in "".join(texts)


@pytest.mark.parametrize("variant", [Variant.WAIT, Variant.BATCH])
@pytest.mark.parametrize("retry", [None, True])
def test_postman_can_import_the_masked_curl_command(variant: Variant, retry: bool | None) -> None:
    choices = ExampleChoices(retry=retry)
    code = one(Language.CURL, variant, choices, input_data=CASES).code
    assert code.startswith("curl -X POST https://flows.example.com/node/deployment-trigger/")
    outside = "".join(code.split("'")[0::2])
    assert not set(outside) & set('"$`\\') - {"\\"}  # only line continuations
    assert outside.count("\\") == outside.count("\\\n")
    words = shlex.split(code)
    options = [word for word in words if word.startswith("-")]
    assert set(options) <= {"-X", "-H", "-d", "--retry"}
    assert f"X-API-Key: {MASK}" in words
    assert "Content-Type: application/json" in words
    body = json.loads(words[words.index("-d") + 1])["input_data"]
    assert body == ([CASES, CASES] if variant is Variant.BATCH else CASES)


def test_names_cannot_leave_comments_and_texts() -> None:
    name = 'a"""\\\u2028b\u202e*/ # \' {{ key }} ${x} é🚀'
    for example in write_examples(target(name=name), ExampleChoices()).items:
        assert "\u2028" not in example.code
        assert "\u202e" not in example.code
        if example.filename.endswith(".py"):
            ast.parse(example.code)


def test_a_name_is_not_taken_for_the_encoding_of_a_file() -> None:
    for name in ("coding: nothing", "coding=nothing", "en-coding:\tnothing"):
        code = one(Language.PYTHON, Variant.WAIT, name=name).code
        ast.parse(code.encode())  # bytes: only there the first comment counts


def test_the_first_comment_has_name_and_mode() -> None:
    expected = "Iris Deployment (mode sync): waits for completion and returns results"
    for language in (Language.PYTHON, Language.GO, Language.HTTPIE, Language.GRPC_PYTHON):
        assert expected in one(language, Variant.WAIT).code.splitlines()[0]
    docstring = '"""Trigger Iris Deployment - waits for completion and returns results"""'
    assert docstring in one(Language.PYTHON, Variant.WAIT).code


@pytest.mark.parametrize("language", list(Language))
def test_the_time_out_is_the_time_limit_and_five_seconds(language: Language) -> None:
    choices = ExampleChoices(key=KeySource.ENVIRONMENT)
    short = one(language, Variant.WAIT, choices, timeout_seconds=20)
    assert "25" in short.code
    assert not [note for note in short.notes if "Prefer: wait=55" in note]
    if language is not Language.GRPC_PYTHON:
        long = one(language, Variant.WAIT, choices, timeout_seconds=60)
        assert [note for note in long.notes if "Prefer: wait=55" in note]
        assert "Prefer: wait=55" in long.code


def test_javascript_says_which_integers_it_rounds() -> None:
    for value, rounded in ((2**53 - 1, False), (2**53, True), (-(2**60), True), (1e30, False)):
        example = one(Language.JAVASCRIPT, Variant.WAIT, input_data={"x": [{"y": value}]})
        assert any("rounds integers" in note for note in example.notes) is rounded


def test_without_a_key_an_example_says_how_one_is_made() -> None:
    example = one(Language.PYTHON, Variant.WAIT, key_mask=None)
    assert 'API_KEY = "sk-********"' in example.code
    assert "slipstream keys create" in example.code


def test_the_choices_select() -> None:
    choices = ExampleChoices(language=Language.GO, variant=Variant.POLL)
    written = write_examples(target(), choices)
    assert [(it.language, it.variant) for it in written.items] == [(Language.GO, Variant.POLL)]
    assert not written.absent
    written = write_examples(target(mode=ExecutionMode.FAST), choices)
    assert not written.items
    (absent,) = written.absent
    assert "the mode is fast" in absent.reason


def test_a_type_that_is_very_long_is_left_out() -> None:
    members = {f"member_{number}": {"type": "number"} for number in range(100)}
    short = {"type": "object", "properties": members}
    code = one(Language.TYPESCRIPT, Variant.WAIT, input_schema=short).code
    assert 'type Input = { "member_0"?: number; "member_1"?' in code
    long = {"type": "object", "properties": {"a": short, "b": short}}
    code = one(Language.TYPESCRIPT, Variant.WAIT, input_schema=long).code
    assert "type Input = Record<string, unknown>;" in code


@pytest.mark.parametrize("form", ResponseFormat)
@pytest.mark.parametrize("language", [Language.JAVASCRIPT, Language.PYTHON, Language.GO])
def test_the_last_event_has_the_fields_of_the_run_itself(
    language: Language, form: ResponseFormat
) -> None:
    code = one(language, Variant.EVENTS, response_format=form, mode=ExecutionMode.ASYNC).code
    enveloped = form is ResponseFormat.ENVELOPE or (
        form is ResponseFormat.AUTO and language is Language.JAVASCRIPT
    )
    assert ("events/?response_format=flat" in code) == enveloped
