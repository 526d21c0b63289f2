"""What expressions may call, for people: signatures and descriptions. Pure."""

from __future__ import annotations

from typing import NamedTuple


class FunctionDoc(NamedTuple):
    """A function or macro."""

    name: str
    signature: str
    """As it is called, with the types of arguments and result."""
    description: str


STANDARD = (
    FunctionDoc("bytes", "bytes(text) → bytes", "The UTF-8 encoding of a text."),
    FunctionDoc("contains", "text.contains(text) → bool", "Whether a text contains another."),
    FunctionDoc("double", "double(value) → double", "A number or text as a double."),
    FunctionDoc("duration", "duration(text) → duration", "A duration such as '1h30m'."),
    FunctionDoc("dyn", "dyn(value) → value", "The value, without a check of its type."),
    FunctionDoc("endsWith", "text.endsWith(text) → bool", "Whether a text ends with another."),
    FunctionDoc("getDate", "timestamp.getDate() → int", "The day of the month, from 1."),
    FunctionDoc(
        "getDayOfMonth", "timestamp.getDayOfMonth() → int", "The day of the month, from 0."
    ),
    FunctionDoc(
        "getDayOfWeek", "timestamp.getDayOfWeek() → int", "The day of the week: 0 is Sunday."
    ),
    FunctionDoc("getDayOfYear", "timestamp.getDayOfYear() → int", "The day of the year, from 0."),
    FunctionDoc("getFullYear", "timestamp.getFullYear() → int", "The year."),
    FunctionDoc("getHours", "timestamp.getHours() → int", "The hour; of a duration all hours."),
    FunctionDoc("getMilliseconds", "timestamp.getMilliseconds() → int", "The milliseconds."),
    FunctionDoc(
        "getMinutes", "timestamp.getMinutes() → int", "The minute; of a duration all minutes."
    ),
    FunctionDoc("getMonth", "timestamp.getMonth() → int", "The month, from 0."),
    FunctionDoc(
        "getSeconds", "timestamp.getSeconds() → int", "The second; of a duration all seconds."
    ),
    FunctionDoc("hasValue", "optional.hasValue() → bool", "Whether an optional has a value."),
    FunctionDoc("int", "int(value) → int", "A number, text or timestamp as an integer."),
    FunctionDoc("matches", "text.matches(pattern) → bool", "Whether a regular expression matches."),
    FunctionDoc("none", "optional.none() → optional", "An optional without a value."),
    FunctionDoc("of", "optional.of(value) → optional", "An optional with a value."),
    FunctionDoc(
        "ofNonZeroValue",
        "optional.ofNonZeroValue(value) → optional",
        "An optional that has a value unless that is empty, zero or false.",
    ),
    FunctionDoc("or", "optional.or(optional) → optional", "The first of the two with a value."),
    FunctionDoc("orValue", "optional.orValue(value) → value", "The value, or else the argument."),
    FunctionDoc("size", "size(value) → int", "The length of a text, list, map or bytes."),
    FunctionDoc(
        "startsWith", "text.startsWith(text) → bool", "Whether a text starts with another."
    ),
    FunctionDoc("string", "string(value) → string", "A value as text."),
    FunctionDoc(
        "timestamp", "timestamp(text) → timestamp", "A time such as '2026-01-02T03:04:05Z'."
    ),
    FunctionDoc("type", "type(value) → type", "The type of a value."),
    FunctionDoc("uint", "uint(value) → uint", "A number or text as an unsigned integer."),
    FunctionDoc(
        "value", "optional.value() → value", "The value of an optional; an error without one."
    ),
)
"""The functions of CEL."""

MACROS = (
    FunctionDoc("all", "list.all(x, condition) → bool", "Whether all members meet a condition."),
    FunctionDoc(
        "exists", "list.exists(x, condition) → bool", "Whether a member meets a condition."
    ),
    FunctionDoc(
        "exists_one", "list.exists_one(x, condition) → bool", "Whether exactly one member does."
    ),
    FunctionDoc("existsOne", "list.existsOne(x, condition) → bool", "The same as exists_one."),
    FunctionDoc("filter", "list.filter(x, condition) → list", "The members that meet a condition."),
    FunctionDoc("has", "has(node.member) → bool", "Whether an object has a member."),
    FunctionDoc(
        "map", "list.map(x, expression) → list", "The value of an expression for each member."
    ),
)
"""The macros of CEL."""

ADDED = (
    FunctionDoc("abs", "abs(number) → number", "The absolute value."),
    FunctionDoc("argmax", "argmax(list) → int", "The index of the largest member, from 0."),
    FunctionDoc("ceil", "ceil(number) → int", "The smallest integer that is not less."),
    FunctionDoc("floor", "floor(number) → int", "The largest integer that is not greater."),
    FunctionDoc("join", "join(texts, separator) → string", "The texts as one, separated."),
    FunctionDoc("lower", "lower(text) → string", "The text in lower case."),
    FunctionDoc("max", "max(list) → value", "The largest member."),
    FunctionDoc("min", "min(list) → value", "The smallest member."),
    FunctionDoc("round", "round(number, digits) → double", "The number, rounded to some digits."),
    FunctionDoc("split", "split(text, separator) → list", "The parts between separators."),
    FunctionDoc("sum", "sum(list) → number", "The sum of the members."),
    FunctionDoc("trim", "trim(text) → string", "The text without white space around it."),
    FunctionDoc("upper", "upper(text) → string", "The text in upper case."),
)
"""Functions beyond CEL's own."""

FUNCTION_DOCS = tuple(sorted((*STANDARD, *MACROS, *ADDED), key=lambda doc: doc.name.lower()))
