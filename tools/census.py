"""Counts what a newcomer has to keep in mind, for one or more checkouts of the repository.

    python tools/census.py                    this checkout
    python tools/census.py ../before .        two checkouts side by side
    python tools/census.py --list             also list the names behind each figure

For each tree, the tables show:

* lines and files of each package (Python files, generated code and migrations left out);
* glossary names: identifiers, classes and modules of tools/glossary.toml that are still in use;
* class names that are defined in more than one module of the product. Names of ALLOWED are one
  concept in several processes and do not count;
* Protocols with exactly one implementation. This is structural: a class implements a Protocol if it
  or its bases in the tree have every public member of it: methods whose parameters have the same
  names, annotated attributes, and attributes assigned to `self`. A class that names the Protocol as
  a base counts whatever it defines. Protocols with only `__call__` are callback types and do not
  count, nor do implementations in tests: a Protocol that exists for a fake has one implementation.
"""

from __future__ import annotations

import argparse
import ast
import fnmatch
import io
import subprocess
import tokenize
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

PRODUCT = (
    *("slipstream", "gateway", "inference_server", "model_store"),
    *("protos", "telemetry", "transport"),
)
OTHERS = ("benchmarks", "tools", "tests", "examples", "requirements")
ALLOWED = frozenset({"Settings", "Metrics"})
GLOSSARY = Path(__file__).with_name("glossary.toml")


@dataclass(frozen=True, slots=True)
class ClassInfo:
    """One class definition."""

    name: str
    path: str
    bases: tuple[str, ...]
    members: Mapping[str, tuple[str, ...] | None]
    """Name → parameters of a method, None for an attribute."""
    is_protocol: bool


@dataclass(frozen=True, slots=True)
class GlossaryEntry:
    """A name that must not be used."""

    name: str
    kind: str
    """identifier, class or module."""
    files: str
    """Glob of the files where it counts."""


@dataclass
class Tree:
    """The Python files of one checkout."""

    root: Path
    sources: dict[str, str] = field(init=False)
    """Path → text."""

    def __post_init__(self) -> None:
        command = ("git", "-C", str(self.root), "ls-files", "*.py")
        git = subprocess.run(command, check=True, capture_output=True, text=True)
        self.sources = {
            path: (self.root / path).read_text()
            for path in git.stdout.split()
            if (self.root / path).exists()
            and not path.endswith("_pb2.py")
            and "/migrations/versions/" not in path
        }

    def of(self, package: str) -> dict[str, str]:
        """Return the files of a package."""
        return {p: text for p, text in self.sources.items() if p.startswith(f"{package}/")}

    @cached_property
    def product(self) -> dict[str, str]:
        """The files of the product's packages."""
        return {p: text for package in PRODUCT for p, text in self.of(package).items()}

    @cached_property
    def classes(self) -> list[ClassInfo]:
        """Every class of the product, nested ones included."""
        return [
            _class_info(node, path)
            for path, text in self.product.items()
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.ClassDef)
        ]

    def size(self, package: str) -> tuple[int, int]:
        """Return lines and files."""
        files = self.of(package)
        return sum(text.count("\n") for text in files.values()), len(files)

    def glossary_names(self, entries: Sequence[GlossaryEntry]) -> dict[str, list[str]]:
        """Return the glossary names in use, each with its files."""
        found: dict[str, list[str]] = {}
        for path, text in self.sources.items():
            if path.startswith("tools/"):
                continue
            identifiers = set(_identifiers(text))
            classes = {
                node.name for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ClassDef)
            }
            names = {"identifier": identifiers, "class": classes, "module": {Path(path).stem}}
            for entry in entries:
                if entry.name in names[entry.kind] and fnmatch.fnmatch(path, entry.files):
                    found.setdefault(f"{entry.name} ({entry.kind})", []).append(path)
        return found

    def shared_class_names(self) -> dict[str, list[str]]:
        """Return class names that several modules define, each with its modules."""
        modules: dict[str, list[str]] = defaultdict(list)
        for one in self.classes:
            if one.path not in modules[one.name]:
                modules[one.name].append(one.path)
        return {
            name: paths
            for name, paths in sorted(modules.items())
            if len(paths) > 1 and name not in ALLOWED
        }

    def single_protocols(self) -> dict[str, list[str]]:
        """Return Protocols with exactly one implementation, each with that class."""
        found = {}
        for protocol in (one for one in self.classes if one.is_protocol):
            wanted = {n: p for n, p in protocol.members.items() if not n.startswith("_")}
            if not wanted:
                continue
            implementations = [
                one
                for one in self.classes
                if not one.is_protocol
                and (protocol.name in one.bases or _implements(self._all_members(one), wanted))
            ]
            if len(implementations) == 1:
                one = implementations[0]
                found[f"{protocol.name} ({protocol.path})"] = [f"{one.name} ({one.path})"]
        return dict(sorted(found.items()))

    def _all_members(self, one: ClassInfo) -> Mapping[str, tuple[str, ...] | None]:
        members = dict(one.members)
        for base in one.bases:
            for other in self._by_name.get(base, ()):
                if not other.is_protocol and other.name != one.name:
                    members = {**self._all_members(other), **members}
        return members

    @cached_property
    def _by_name(self) -> Mapping[str, list[ClassInfo]]:
        by_name: dict[str, list[ClassInfo]] = defaultdict(list)
        for one in self.classes:
            by_name[one.name].append(one)
        return by_name


def _class_info(node: ast.ClassDef, path: str) -> ClassInfo:
    bases = tuple(_base_name(base) for base in node.bases)
    members: dict[str, tuple[str, ...] | None] = {}
    for part in ast.walk(node):
        if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef):
            is_property = any("property" in ast.dump(one) for one in part.decorator_list)
            members[part.name] = None if is_property else _parameters(part.args)
        elif isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
            members[part.target.id] = None
        elif (
            isinstance(part, ast.Attribute)
            and isinstance(part.ctx, ast.Store)
            and isinstance(part.value, ast.Name)
            and part.value.id == "self"
        ):
            members.setdefault(part.attr, None)
    is_protocol = any(
        base in {"Protocol", "typing.Protocol"}
        for base in (ast.unparse(base).partition("[")[0] for base in node.bases)
    )
    return ClassInfo(node.name, path, bases, members, is_protocol)


def _parameters(arguments: ast.arguments) -> tuple[str, ...]:
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return tuple(one.arg.strip("_") for one in every if one.arg != "self")


def _implements(
    members: Mapping[str, tuple[str, ...] | None], wanted: Mapping[str, tuple[str, ...] | None]
) -> bool:
    for name, parameters in wanted.items():
        if name not in members:
            return False
        own = members[name]
        if parameters and own is not None and not set(parameters) <= set(own):
            return False
    return True


def _base_name(base: ast.expr) -> str:
    if isinstance(base, ast.Subscript):
        base = base.value
    return base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "")


def _identifiers(text: str) -> Iterator[str]:
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.NAME:
            yield token.string


def read_glossary(path: Path = GLOSSARY) -> list[GlossaryEntry]:
    """Return the entries of glossary.toml."""
    document = tomllib.loads(path.read_text())
    return [
        GlossaryEntry(name, kind.removesuffix("s").replace("classe", "class"), group["files"])
        for group in document["group"]
        for kind in ("identifiers", "classes", "modules")
        for name in group.get(kind, ())
    ]


def _print_table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    print("| " + " | ".join(headings) + " |")
    print("|---|" + "---:|" * (len(headings) - 1))
    for row in rows:
        cells = [f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row]
        print("| " + " | ".join(cells) + " |")
    print()


def main() -> None:
    """Print the tables."""
    description, _, details = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        description=description,
        epilog=details,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    root = Path(__file__).parent.parent
    parser.add_argument("trees", nargs="*", type=Path, default=[root], help="(this checkout)")
    parser.add_argument("--list", action="store_true", help="list the names behind the figures")
    options = parser.parse_args()
    trees = [Tree(path) for path in options.trees]
    names = [str(tree.root) for tree in trees]

    headings = ["package", *(f"{kind}, {name}" for name in names for kind in ("lines", "files"))]
    sizes = {package: [n for tree in trees for n in tree.size(package)] for package in PRODUCT}
    rows: list[list[object]] = [[package, *counts] for package, counts in sizes.items()]
    rows.append(["product", *map(sum, zip(*sizes.values(), strict=True))])
    rows += [[package, *(n for tree in trees for n in tree.size(package))] for package in OTHERS]
    _print_table(headings, rows)

    entries = read_glossary()
    figures = {
        "glossary names left": [tree.glossary_names(entries) for tree in trees],
        "class names in several modules": [tree.shared_class_names() for tree in trees],
        "Protocols with one implementation": [tree.single_protocols() for tree in trees],
    }
    _print_table(["figure", *names], [[name, *map(len, found)] for name, found in figures.items()])
    if options.list:
        for title, found in figures.items():
            for name, items in zip(names, found, strict=True):
                print(f"{title}, {name}:")
                for item, places in sorted(items.items()):
                    print(f"  {item}: {', '.join(places)}")
                print()


if __name__ == "__main__":
    main()
