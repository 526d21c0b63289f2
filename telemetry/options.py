"""Options of a process: one declaration for the command line, the environment and `--help`.

A frozen dataclass declares them with `option` and `flag`. A value comes from the command line,
else from the environment variable PREFIX + NAME, else it is the default. Standard library only:
processes read their options before they listen, and importing pydantic takes as long as listening.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from dataclasses import Field, dataclass, field, fields
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")

_MAX_PORT = 65535
_TRUE = frozenset({"1", "true", "yes", "on"})


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """A TCP address to listen on; port 0 lets the kernel choose one."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read HOST:PORT, with an IPv6 address in brackets; raise ValueError on anything else."""
        host, colon, port = text.rpartition(":")
        if not (host and colon and port.isascii() and port.isdigit() and int(port) <= _MAX_PORT):
            raise ValueError(f"expected HOST:PORT, got {text!r}")
        return cls(host.removeprefix("[").removesuffix("]"), int(port))

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        return is_loopback(self.host)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens on `host`."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class OptionsError(Exception):
    """Options that are invalid; the message is `NAME: expected X, got Y`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Option:
    parse: Callable[[str], object]
    help: str
    default: str | None
    shown_default: str | None
    required: bool
    name: str | None
    metavar: str | None
    in_environment: bool
    is_flag: bool = False


def option(
    parse: Callable[[str], object],
    help: str,  # noqa: A002 - the name that argparse has for it
    *,
    default: str | None = None,
    shown_default: str | None = None,
    required: bool = False,
    name: str | None = None,
    metavar: str | None = None,
    in_environment: bool = True,
) -> Any:  # Any: stands in place of a value of any type, as dataclasses.field does
    """Declare an option.

    Args:
        parse: makes the value of a text; raises ValueError with `expected X, got Y`.
        help: what it is, for `--help`.
        default: the text to parse if it is given nowhere; with None the value is None then.
        shown_default: what `--help` says of the default in place of that text.
        required: whether it must be given.
        name: on the command line, if that is not `--` and the field's name.
        metavar: what stands for the value in `--help`.
        in_environment: whether an environment variable can give it.
    """
    return field(
        metadata={
            "option": _Option(
                parse=parse,
                help=help,
                default=default,
                shown_default=shown_default,
                required=required,
                name=name,
                metavar=metavar,
                in_environment=in_environment,
            )
        }
    )


def flag(help: str, *, in_environment: bool = True) -> Any:  # noqa: A002 - as above; Any: as above
    """Declare an option without a value; the environment gives it by 1, true, yes or on."""
    return field(
        metadata={
            "option": _Option(
                parse=lambda text: text.lower() in _TRUE,
                help=help,
                default="",
                shown_default=None,
                required=False,
                name=None,
                metavar=None,
                in_environment=in_environment,
                is_flag=True,
            )
        }
    )


def read(
    kind: type[T],
    arguments: Sequence[str] | None,
    *,
    prefix: str,
    program: str,
    description: str | None,
    epilog: str | None = None,
) -> T:
    """Return the options; print what is wrong with them and exit with 2 if they are invalid."""
    parser = _parser(kind, prefix=prefix, program=program, description=description, epilog=epilog)
    try:
        return _parse(kind, parser, arguments, prefix)
    except OptionsError as error:
        argparse.ArgumentParser.error(parser, str(error))


def check(kind: type[T], arguments: Sequence[str], *, prefix: str) -> T:
    """Return what `read` would, or raise OptionsError."""
    parser = _parser(kind, prefix=prefix, program="", description=None, epilog=None)
    return _parse(kind, parser, arguments, prefix)


def one_of(*words: str) -> Callable[[str], str]:
    """Return a parser that accepts only these words."""

    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"expected {', '.join(words[:-1])} or {words[-1]}, got '{text}'")
        return text

    return parse


def whole_number(minimum: int, maximum: int | None = None) -> Callable[[str], int]:
    """Return a parser of whole numbers in a range."""
    expected = f"from {minimum}" if maximum is None else f"from {minimum} to {maximum}"

    def parse(text: str) -> int:
        number = int(text) if text.isascii() and text.isdigit() else minimum - 1
        if number < minimum or (maximum is not None and number > maximum):
            raise ValueError(f"expected a whole number {expected}, got '{text}'")
        return number

    return parse


def seconds(minimum: float = 0.0, *, above: bool = False) -> Callable[[str], float]:
    """Return a parser of finite seconds of at least `minimum`, or `above` it."""
    expected = f"above {minimum:g}" if above else f"from {minimum:g}"

    def parse(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = float("nan")
        valid = number > minimum if above else number >= minimum
        if not valid or number == float("inf"):
            raise ValueError(f"expected a number of seconds {expected}, got '{text}'")
        return number

    return parse


def absolute_path(text: str) -> Path | None:
    """Parse a path relative to the working directory; an empty text is None."""
    return Path(text).absolute() if text else None


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise OptionsError(message)


def _parser(
    kind: type[T], *, prefix: str, program: str, description: str | None, epilog: str | None
) -> _Parser:
    parser = _Parser(
        program,
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
    )
    for each in fields(kind):
        declared: _Option = each.metadata["option"]
        text = _help(each, declared, prefix).replace("%", "%%")
        if declared.is_flag:
            parser.add_argument(_name(each), dest=each.name, action="store_true", help=text)
        else:
            parser.add_argument(_name(each), dest=each.name, metavar=declared.metavar, help=text)
    return parser


def _parse(kind: type[T], parser: _Parser, arguments: Sequence[str] | None, prefix: str) -> T:
    given = vars(parser.parse_args(arguments))
    missing: list[str] = []
    values: dict[str, object] = {}
    for each in fields(kind):
        declared: _Option = each.metadata["option"]
        variable = prefix + each.name.upper()
        source, text = _name(each), given.get(each.name)
        if text is None and declared.in_environment and variable in os.environ:
            source, text = variable, os.environ[variable]
        if text is None:
            text = declared.default
        if text is None and declared.required:
            missing.append(_name(each))
        values[each.name] = None if text is None else _value(declared, source, text)
    if missing:
        message = f"the following arguments are required: {', '.join(missing)}"
        raise OptionsError(message)
    return kind(**values)


def _value(declared: _Option, source: str, text: object) -> object:
    if not isinstance(text, str):  # a flag of the command line
        return text
    try:
        return declared.parse(text)
    except ValueError as error:
        raise OptionsError(f"{source}: {error}") from None


def _name(each: Field[Any]) -> str:  # Any: of a value of any type
    declared: _Option = each.metadata["option"]
    return declared.name or f"--{each.name.replace('_', '-')}"


def _help(each: Field[Any], declared: _Option, prefix: str) -> str:
    default = declared.shown_default or declared.default
    notes = [prefix + each.name.upper()] if declared.in_environment else []
    if declared.required:
        notes.append("required")
    elif default:
        notes.append(f"default {default}")
    return f"{declared.help} ({', '.join(notes)})" if notes else declared.help
