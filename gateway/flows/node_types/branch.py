"""branch: chooses which outgoing edges are taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gateway.flows.cel.values import Expression, ExpressionError, NodeValues
from gateway.flows.compile_context import CompileContext
from gateway.flows.config_fields import (
    ConfigForm,
    ConfigOption,
    Widget,
    custom_field,
    optional_text_field,
    text_field,
)
from gateway.flows.config_reader import ConfigReader
from gateway.flows.node_types.handler import NodeHandler, Prepare
from gateway.flows.node_types.presentation import NodeGroup, NodePresentation

_MAX_CASES = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One case."""

    name: str
    when: str
    """A boolean expression."""
    field: str
    """Where `when` is in the configuration, such as `cases/0/when`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """The configuration: the first case whose expression is true is chosen."""

    cases: Sequence[Case]
    default: str | None
    """Chosen if no case is true; None: no case is chosen then."""


_WHEN = "an expression that is true or false"
_CONDITION = text_field(
    "condition",
    "Condition",
    "An expression that is true or false; edges name the case true or false.",
    expected=_WHEN,
    widget=Widget.EXPRESSION,
)
_DEFAULT = optional_text_field(
    "default", "Default", "The case that is chosen if no other is true.", expected="a name"
)


def _read(reader: ConfigReader) -> Branch:
    reader.allow_only(_FORM.names)
    if "condition" in reader.members:
        for field in sorted({"cases", "default"} & set(reader.members)):
            reader.add_error(field, "expected either condition, or cases and default")
        when = _CONDITION.read(reader)
        return Branch(cases=[Case(name="true", when=when, field="condition")], default="false")
    cases, default = _CASES.read(reader), _DEFAULT.read(reader)
    names = [case.name for case in cases]
    for at, name in enumerate(names):
        if name in names[:at] or name == default:
            reader.add_error(f"cases/{at}/name", f"duplicate case '{name}'")
    return Branch(cases=cases, default=default)


def _read_cases(reader: ConfigReader) -> Sequence[Case]:
    readers = reader.objects("cases")
    cases = [_case(one, at) for at, one in enumerate(readers or ())]
    if readers is not None and not 1 <= len(cases) <= _MAX_CASES:
        reader.add_error("cases", f"expected 1 to {_MAX_CASES} cases, or a condition")
    return cases


_NAME = text_field("name", "Name", "What edges call the case.", expected="a name")
_CASE_WHEN = text_field(
    "when", "When", "An expression that is true or false.", expected=_WHEN, widget=Widget.EXPRESSION
)
_CASE_FORM = ConfigForm(fields=(_NAME, _CASE_WHEN))
_CASES = custom_field(
    "cases",
    "Cases",
    "The first case whose expression is true is chosen.",
    widget=Widget.CASES,
    schema={
        "type": "array",
        "items": _CASE_FORM.schema(),
        "minItems": 1,
        "maxItems": _MAX_CASES,
    },
    read=_read_cases,
)
_FORM = ConfigForm(
    options=(
        ConfigOption(title="A condition", fields=(_CONDITION,)),
        ConfigOption(title="Cases", fields=(_CASES, _DEFAULT)),
    )
)


def _case(reader: ConfigReader, at: int) -> Case:
    reader.allow_only(_CASE_FORM.names)
    return Case(name=_NAME.read(reader), when=_CASE_WHEN.read(reader), field=f"cases/{at}/when")


def _prepare(config: Branch, context: CompileContext) -> Prepare:
    cases = [(case.name, context.expression(case.field, case.when)) for case in config.cases]
    return lambda values: {"case": _choose_case(cases, config.default, values)}


def _choose_case(
    cases: Sequence[tuple[str, Expression]], default: str | None, values: NodeValues
) -> str | None:
    for name, when in cases:
        value: Any = when.evaluate(values)
        if value is True:
            return name
        if value is not False:
            kind = "null" if value is None else type(value).__name__
            message = f"'{when.source}': expected true or false, got {kind}"
            raise ExpressionError(message, when.roots)
    return default


def _cases(config: Branch) -> list[str]:
    names = [case.name for case in config.cases]
    return names if config.default is None else [*names, config.default]


HANDLER = NodeHandler(
    type="branch",
    shown=NodePresentation(
        title="Branch",
        description="Chooses which outgoing edges are taken.",
        icon="split",
        group=NodeGroup.CONTROL,
        initial={"condition": "true"},
    ),
    form=_FORM,
    read=_read,
    prepare=_prepare,
    cases=_cases,
)
