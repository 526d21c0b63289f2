"""Response bodies of example code."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict

from gateway.examples.choices import Language, Variant
from gateway.examples.generator import ExampleSet


class BodySlotOut(BaseModel):
    """Where the literal of `input_data` stands in the tokens."""

    model_config = ConfigDict(from_attributes=True, use_attribute_docstrings=True)

    index: int
    """Of the first token."""
    count: int
    """Tokens whose text, joined, is the literal: another literal can take their place."""
    literal: str
    """The text that stands there: `input_data` in the language."""


class ExampleOut(BaseModel):
    """Code that calls a deployment, or receives its webhook."""

    model_config = ConfigDict(from_attributes=True, use_attribute_docstrings=True)

    language: Language
    """The language or tool of the code."""
    variant: Variant
    """`wait`: for the answer; `poll`: the run that the call starts; `events`: follow its events;
    `batch`: several inputs in one call; `webhook`: a receiver of events."""
    title: str
    """What it is, for people."""
    filename: str
    """The name that the file with the code should have."""
    install: str | None
    """The command that installs what it needs; null: nothing."""
    run: str
    """The command that runs the file."""
    notes: list[str]
    """What a reader has to know; also comments in the code, where it may have any."""
    code: str
    """The program, or the command."""
    tokens: list[tuple[str, str]]
    """The code, as short names of Pygments' token classes with their text."""
    body_slots: list[BodySlotOut]
    """Where `input_data` stands in `tokens`."""


class AbsentExampleOut(BaseModel):
    """A language and variant without an example."""

    model_config = ConfigDict(from_attributes=True, use_attribute_docstrings=True)

    language: Language
    """The language or tool of the code."""
    variant: Variant
    """`wait`: for the answer; `poll`: the run that the call starts; `events`: follow its events;
    `batch`: several inputs in one call; `webhook`: a receiver of events."""
    reason: str
    """Why there is no example, for people."""


class InputFileOut(BaseModel):
    """A file that examples read, as its content is too long for code."""

    model_config = ConfigDict(from_attributes=True, use_attribute_docstrings=True)

    name: str
    """The name that the file should have."""
    content: str
    """The body of the call, as JSON."""


class ExampleList(BaseModel):
    """The examples of a deployment, and the pairs that have none."""

    model_config = ConfigDict(from_attributes=True, use_attribute_docstrings=True)

    items: list[ExampleOut]
    """The examples, by language and variant."""
    absent: list[AbsentExampleOut]
    """The languages and variants without an example."""
    input_file: InputFileOut | None
    """Of test data over 4 KiB: the body of the calls; null: the code has it."""

    @classmethod
    def of(cls, examples: ExampleSet) -> Self:
        """Convert examples."""
        return cls.model_validate(examples)
