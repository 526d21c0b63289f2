"""Request and response bodies of checks of expressions."""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from gateway.drafts.expression_check import ExpressionCheck, ExpressionKind

_MAX_CHARACTERS = 20_000
_UTF_16 = "Offsets are in UTF-16 code units, as browsers count."

# Any, throughout: JSON


class ExpressionIn(BaseModel):
    """An expression or a template, and the values that it reads."""

    model_config = ConfigDict(
        use_attribute_docstrings=True,
        json_schema_extra={
            "examples": [
                {"expression": "input.amount >= 100", "values": {"input": {"amount": 120}}}
            ]
        },
    )

    expression: str = Field(max_length=_MAX_CHARACTERS)
    """What is evaluated: an expression (CEL), or a template."""
    kind: ExpressionKind = ExpressionKind.EXPRESSION
    """`expression`, or `template`: text with expressions in `{{ }}`."""
    values: dict[str, Any] = {}
    """Node id → output."""


class ExpressionStepOut(BaseModel):
    """A path that is read, or an expression of a template."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    expression: str
    """The path or expression, as it is written."""
    start: int = Field(serialization_alias="from", description=f"Where it begins. {_UTF_16}")
    end: int = Field(serialization_alias="to")
    """Where it ends: the offset behind its last character."""
    value: Any
    """Its value."""
    type: str
    """Of CEL, such as `int`, `double`, `list` or `timestamp`."""


class ExpressionErrorOut(BaseModel):
    """Why there is no value."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    message: str
    """What is wrong, for people."""
    start: int = Field(serialization_alias="from", description=f"What it is about. {_UTF_16}")
    end: int = Field(serialization_alias="to")
    """Where it ends: the offset behind its last character."""


class ExpressionCheckOut(BaseModel):
    """The value of an expression, or why there is none."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    ok: bool
    """Whether there is a value."""
    value: Any
    """NaN and infinities are strings. All values share 256 KiB; one that exceeds the remainder is
    replaced by `{"truncated": true, "bytes": …, "preview": …}`."""
    type: str | None
    """Of CEL, such as `int`, `double`, `list` or `timestamp`; null: there is no value."""
    steps: list[ExpressionStepOut]
    """The paths that the expression reads, or the expressions of the template: the first 50 that
    have a value."""
    error: ExpressionErrorOut | None
    """Why there is no value; null: there is one."""

    @classmethod
    def of(cls, check: ExpressionCheck) -> Self:
        """Convert a check."""
        failure = check.failure
        return cls(
            ok=failure is None,
            value=check.value,
            type=check.type,
            steps=[
                ExpressionStepOut(
                    expression=step.text,
                    start=step.start,
                    end=step.end,
                    value=step.value,
                    type=step.type,
                )
                for step in check.steps
            ],
            error=None
            if failure is None
            else ExpressionErrorOut(message=failure.message, start=failure.start, end=failure.end),
        )
