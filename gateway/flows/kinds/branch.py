"""branch: chooses where to go on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gateway.flows.expressions import Expression
from gateway.flows.kinds.kind import Kind, Moment, Step, StepError
from gateway.flows.reader import Reader
from gateway.flows.scope import Scope

_MOST_CASES = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One way to go on."""

    name: str
    when: str
    """Expression: true or false."""
    field: str
    """Where `when` stands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """The first case that holds is chosen."""

    cases: Sequence[Case]
    default: str | None
    """Chosen where none holds; None: then no case is."""


def _read(reader: Reader) -> Branch:
    reader.known({"condition", "cases", "default"})
    if "condition" in reader.members:
        for field in sorted({"cases", "default"} & set(reader.members)):
            reader.complain(field, "expected either condition, or cases and default")
        when = reader.text("condition", "an expression that is true or false")
        return Branch(cases=[Case(name="true", when=when, field="condition")], default="false")
    cases = [_case(one, at) for at, one in enumerate(reader.objects("cases"))]
    if not 1 <= len(cases) <= _MOST_CASES:
        reader.complain("cases", f"expected 1 to {_MOST_CASES} cases, or a condition")
    default = reader.text("default", "a name") if "default" in reader.members else None
    names = [case.name for case in cases]
    for at, name in enumerate(names):
        if name in names[:at] or name == default:
            reader.complain(f"cases/{at}/name", f"another case is called '{name}', too")
    return Branch(cases=cases, default=default)


def _case(reader: Reader, at: int) -> Case:
    reader.known({"name", "when"})
    return Case(
        name=reader.text("name", "a name"),
        when=reader.text("when", "an expression that is true or false"),
        field=f"cases/{at}/when",
    )


def _compile(config: Branch, scope: Scope) -> Step:
    cases = [(case.name, scope.expression(case.field, case.when)) for case in config.cases]
    return Step(compute=lambda moment: {"case": _chosen(cases, config.default, moment)})


def _chosen(
    cases: Sequence[tuple[str, Expression]], default: str | None, moment: Moment
) -> str | None:
    for name, when in cases:
        value: Any = when.evaluate(moment.values)
        if value is True:
            return name
        if value is not False:
            kind = "null" if value is None else type(value).__name__
            message = f"'{when.source}' is {kind}, and not true or false"
            raise StepError("expression_failed", message)
    return default


def _exits(config: Branch) -> list[str]:
    names = [case.name for case in config.cases]
    return names if config.default is None else [*names, config.default]


KIND = Kind(type="branch", read=_read, compile=_compile, exits=_exits)
