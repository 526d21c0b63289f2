"""Checks what the proof of independent rows says of every tensor of a graph, on real runs.

    python -m tests.inference_server.rows.checking --seed 0 --graphs 300 [--broken NAME]

prints one line of JSON. ONNX Runtime itself crashes on some graphs, so they run in forks.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import signal
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import onnxruntime as ort
from onnx import ModelProto, ValueInfoProto, numpy_helper, parser
from onnx.backend.test import loader

from inference_server.runtime.rows import proof
from inference_server.runtime.rows.polynomials import ROWS, Polynomial
from inference_server.runtime.rows.refusal import MixesRowsError, Refused
from inference_server.runtime.rows.tensors import RowAxis, Tensor
from tests.inference_server.rows import broken_rules
from tests.inference_server.rows.random_graphs import RandomGraph, options, random_graph

Arrays = Mapping[str, np.ndarray]
Claims = Mapping[str, Tensor | Refused]

_PLAIN = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
_OPTIMISED = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
_MAX_ROWS = 5
_DRAWS = 3
"""Random rows of which copies are put beside each other."""
_NEAR, _NEAR_WHOLE = 1e-3, 1e-4
"""Differences from rounding, as shares of an element and of the greatest one."""
_CHUNK = 25
_MAX_SECONDS = 20
"""Of one graph."""
_IR_VERSION = 10
"""Of which ONNX Runtime reads all models."""
_NEWEST = 24
"""The operator set for which tests of newer ones are tried, as far as they run with it."""
_MAX_TEXTS = 3
"""Violations of a graph that are told."""


@dataclass(frozen=True)
class Experiment:
    """A run, and others in which one row is replaced.

    Attributes:
        sizes: by symbol.
        session: which one.
        base: what each tensor is.
        replaced: a row, and what each tensor is after it is replaced.
    """

    sizes: Mapping[str, int]
    session: int
    base: Arrays
    replaced: Sequence[tuple[int, Arrays]]


@dataclass(frozen=True)
class Recording:
    """All runs of a graph.

    Attributes:
        experiments: runs in which a row is replaced.
        copies: for some rows, runs with so many copies of it.
    """

    experiments: Sequence[Experiment]
    copies: Sequence[Mapping[int, Arrays]]


def described(model: ModelProto) -> RandomGraph:
    """Return a model by hand as one that could be random: all tensors become outputs."""
    dimensions, dynamic = {}, {}
    constants = {proto.name for proto in model.graph.initializer}
    for value in model.graph.input:
        if value.name in constants:
            continue
        sizes = list(value.type.tensor_type.shape.dim)[1:]
        dimensions[value.name] = [size.dim_value or 2 for size in sizes]
        for axis, size in enumerate(sizes, 1):
            if not size.dim_value:
                place = f"{value.name}.{axis}"
                dynamic[place] = size.dim_param or place
    names = [name for node in model.graph.node for name in node.output if name]
    del model.graph.output[:]
    model.graph.output.extend(ValueInfoProto(name=name) for name in names)
    return RandomGraph(model, dimensions, dynamic)


# Runs.


def record(graph: RandomGraph, random: np.random.Generator) -> Recording:
    """Run a graph with several numbers of rows, with and without optimisations."""
    whole = graph.model.SerializeToString()
    last = _with_last_outputs(graph.model)
    pairs = ((whole, _PLAIN), (whole, _OPTIMISED), (last, _OPTIMISED))
    sessions = [_session(model, level) for model, level in pairs]
    experiments = []
    for number, session in enumerate(sessions):
        if session is None:
            continue
        for rows in range(1, _MAX_ROWS + 1):
            sizes = [graph.dimensions]
            if graph.dynamic and rows in (2, 3):
                sizes.append(_other_dimensions(graph, random))
            for dimensions in sizes:
                inputs = _Inputs(session, graph, dimensions, random)
                found = _experiment(session, number, rows, inputs)
                experiments += [found] if found is not None else []
    copies = [_copies(sessions[0], graph, random) for _ in range(_DRAWS)]
    return Recording(experiments, copies)


def _with_last_outputs(model: ModelProto) -> bytes:
    """Return a model with the outputs that no node takes, so that nodes can be joined."""
    taken = {name for node in model.graph.node for name in node.input}
    made = ModelProto()
    made.CopyFrom(model)
    del made.graph.output[:]
    made.graph.output.extend(one for one in model.graph.output if one.name not in taken)
    return made.SerializeToString()


def _session(model: bytes, level: ort.GraphOptimizationLevel) -> ort.InferenceSession | None:
    try:
        return ort.InferenceSession(model, options(level))
    except Exception:  # noqa: BLE001 - onnxruntime raises many kinds
        return None


def _other_dimensions(
    graph: RandomGraph, random: np.random.Generator
) -> Mapping[str, Sequence[int]]:
    found = {name: list(sizes) for name, sizes in graph.dimensions.items()}
    by_name = {name: int(random.integers(1, 5)) for name in graph.dynamic.values()}
    for place, size_name in graph.dynamic.items():
        name, axis = place.rsplit(".", 1)
        found[name][int(axis) - 1] = by_name[size_name]
    return found


def _run(session: ort.InferenceSession | None, feeds: Arrays) -> Arrays | None:
    """Return all tensors; None if the run fails."""
    if session is None:
        return None
    try:
        values = session.run(None, feeds)
    except Exception:  # noqa: BLE001 - onnxruntime raises many kinds
        return None
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, values, strict=True))


class _Inputs:
    """Makes rows of the inputs of a model."""

    def __init__(
        self,
        session: ort.InferenceSession,
        graph: RandomGraph,
        dimensions: Mapping[str, Sequence[int]],
        random: np.random.Generator,
    ) -> None:
        self.random = random
        self.dimensions = dimensions
        self._samples = graph.samples
        self._kinds = {
            one.name: one.type.removeprefix("tensor(")[:-1] for one in session.get_inputs()
        }

    def row(self, *, usual: bool = False) -> Arrays:
        """Return a row of each input."""
        return {
            name: self._row(name, shape, usual=usual) for name, shape in self.dimensions.items()
        }

    def _row(self, name: str, shape: Sequence[int], *, usual: bool) -> np.ndarray:
        samples, kind = self._samples.get(name), self._kinds[name]
        fits = samples is not None and (usual or kind not in _FLOATS or self.random.random() < 0.5)
        if samples is not None and fits:
            return np.asarray(samples[self.random.integers(len(samples))])
        return row(self.random, kind, shape, usual=usual)


def _experiment(
    session: ort.InferenceSession, number: int, rows: int, inputs: _Inputs
) -> Experiment | None:
    all_rows = [inputs.row() for _ in range(rows)]
    base = _run(session, _stacked(all_rows))
    if base is None:
        return None
    replaced = []
    for place in inputs.random.permutation(rows)[:2]:
        changed = [inputs.row() if index == place else one for index, one in enumerate(all_rows)]
        found = _run(session, _stacked(changed))
        if found is not None:
            replaced.append((int(place), found))
    sizes = {
        f"{name}.{axis}": size
        for name, shape in inputs.dimensions.items()
        for axis, size in enumerate(shape, 1)
    }
    return Experiment({ROWS: rows, **sizes}, number, base, replaced)


def _stacked(rows: Sequence[Arrays]) -> Arrays:
    return {name: np.stack([one[name] for one in rows]) for name in rows[0]}


def _copies(
    session: ort.InferenceSession | None, graph: RandomGraph, random: np.random.Generator
) -> Mapping[int, Arrays]:
    """Return runs with 1, 3 and 4 copies of one usual row."""
    if session is None:
        return {}
    one = _Inputs(session, graph, graph.dimensions, random).row(usual=True)
    runs = {rows: _run(session, _stacked([one] * rows)) for rows in (1, 3, 4)}
    return {rows: found for rows, found in runs.items() if found is not None}


_FLOATS = {"float": "f4", "double": "f8", "float16": "f2"}
_STRANGE: Sequence[Callable[[np.random.Generator, Sequence[int]], np.ndarray]] = [
    lambda random, shape: random.integers(-2, 4, shape),
    lambda _, shape: np.zeros(shape),
    lambda random, shape: random.normal(size=shape) * 10.0 ** random.integers(1, 38),
    lambda _, shape: np.full(shape, np.inf),
    lambda _, shape: np.full(shape, -np.inf),
    lambda _, shape: np.full(shape, np.nan),
    lambda random, shape: random.choice([0, 1, -1, np.inf, -np.inf, np.nan, 3e38], shape),
]


def row(
    random: np.random.Generator, kind: str, shape: Sequence[int], *, usual: bool = False
) -> np.ndarray:
    """Return random data: usual numbers, or sometimes those that reach the other rows."""
    if kind in _FLOATS:
        data_type = _FLOATS[kind]
        if usual or random.random() < 0.5:
            return random.normal(size=shape).astype(data_type)
        made = _STRANGE[random.integers(len(_STRANGE))](random, shape)
        with np.errstate(over="ignore"):
            return np.asarray(made).astype(data_type)
    if kind == "string":
        return random.choice(np.array(["", "a", "b c", "Monday"], object), shape)
    if kind == "bool":
        return random.integers(0, 2, shape).astype(bool)
    lowest, end = (0, 2) if usual or random.random() < 0.7 or kind.startswith("u") else (-3, 4)
    return random.integers(lowest, end, shape).astype(kind)


# Claims.


@dataclass
class _Judge:
    """Compares runs of a graph with claims about its tensors."""

    claims: Claims
    found: list[str] = field(default_factory=list)
    _symbols: dict[object, int] = field(default_factory=dict)
    _constants: dict[object, np.ndarray] = field(default_factory=dict)

    def judge(self, recording: Recording) -> None:
        """Look at all runs."""
        for experiment in recording.experiments:
            for results in (experiment.base, *(found for _, found in experiment.replaced)):
                self._sizes(experiment, results)
                for name, claim, value in self._claimed(results):
                    self._numbers(experiment, name, claim, value)
            for name, value in experiment.base.items():
                claim = self.claims.get(name)
                if isinstance(claim, Tensor):
                    self._rows(experiment, name, claim, value)
        self._copies(recording.copies)

    def _claimed(self, results: Arrays) -> Iterator[tuple[str, Tensor, np.ndarray]]:
        for name, value in results.items():
            claim = self.claims.get(name)
            if isinstance(claim, Tensor):
                yield name, claim, np.asarray(value)

    def _sizes(self, experiment: Experiment, results: Arrays) -> None:
        """Compare shapes and entries, evaluated with the sizes of a run."""
        others = tuple(sorted((k, v) for k, v in experiment.sizes.items() if k != ROWS))
        pairs = [
            (name, *pair)
            for name, claim, value in self._claimed(results)
            for pair in self._pairs(name, claim, value)
        ]
        for name, polynomial, real in pairs:
            symbol = _only_symbol(polynomial)
            if symbol.startswith("?") and self._symbols.setdefault((others, symbol), real) != real:
                self._add(name, f"a size has several values, {real} is one of them")
        known = {symbol: v for (sizes, symbol), v in self._symbols.items() if sizes == others}
        for name, polynomial, real in pairs:
            claimed = evaluated(polynomial, {**known, **experiment.sizes})
            if claimed is not None and claimed != real:
                self._add(name, f"a size or entry is {real}, not {polynomial} = {claimed}")

    def _pairs(
        self, name: str, claim: Tensor, value: np.ndarray
    ) -> Iterator[tuple[Polynomial, int]]:
        if claim.shape is not None:
            if len(claim.shape) != value.ndim:
                self._add(name, f"its rank is {value.ndim}, not {len(claim.shape)}")
                return
            yield from zip(claim.shape, value.shape, strict=True)
        if claim.entries is None:
            return
        if len(claim.entries) != value.size:
            self._add(name, f"it has {value.size} entries, not {len(claim.entries)}")
            return
        if claim.bits and value.dtype != f"i{claim.bits // 8}":
            self._add(name, f"it is {value.dtype}, not of {claim.bits} bits")
        for entry, real in zip(claim.entries, value.flat, strict=True):
            if entry is not None:
                yield entry, real

    def _numbers(self, experiment: Experiment, name: str, claim: Tensor, value: np.ndarray) -> None:
        """Compare indices with the numbers of their rows, and with what they are below."""
        numbers = claim.numbers
        if numbers is None or numbers.below is None:
            return
        step, below = (evaluated(part, experiment.sizes) for part in (numbers.step, numbers.below))
        if numbers.in_tuples:
            value = value[..., 0]
        row = np.zeros(value.shape, "i8")
        if claim.rows is not None:
            for place in range(experiment.sizes[ROWS]):
                row[_places(claim.rows, place, value, experiment.sizes)] = place
        if value.dtype != np.int64:
            self._add(name, f"its indices are {value.dtype}")
        elif step is not None:
            rest = value - step * row
            if (rest < 0).any() or (below is not None and (rest >= below).any()):
                self._add(name, f"an index is beyond {below}, or not that of its row")

    def _rows(self, experiment: Experiment, name: str, claim: Tensor, base: np.ndarray) -> None:
        """See what changes when a row is replaced."""
        for place, results in experiment.replaced:
            changed = differs(base, results[name])
            if changed is None or (claim.rows is None and changed.any()):
                self._add(name, f"it changes with row {place} of {experiment.sizes[ROWS]}")
            elif claim.rows is not None:
                allowed = _places(claim.rows, place, base, experiment.sizes)
                if changed[~allowed].any():
                    self._add(name, f"another part changes with row {place}, {experiment.sizes}")
        if claim.rows is None and not claim.has_sizes:
            others = tuple(sorted((k, v) for k, v in experiment.sizes.items() if k != ROWS))
            key = others, experiment.session, name
            changed = differs(self._constants.setdefault(key, base), base)
            if changed is None or changed.any():
                self._add(name, f"it changes with the number of rows, {experiment.sizes[ROWS]}")

    def _copies(self, draws: Sequence[Mapping[int, Arrays]]) -> None:
        """See whether copies of a row have the same result, but for rounding.

        Rounding may decide between two whole numbers, but hardly for each of several rows.
        """
        for name, claim in self.claims.items():
            if not isinstance(claim, Tensor) or claim.rows is None or claim.has_sizes:
                continue
            if all(_unequal(runs, name, claim.rows) for runs in draws):
                self._add(name, "copies of a row have different results")

    def _add(self, name: str, text: str) -> None:
        self.found.append(f"{name}: {text}")


def _only_symbol(polynomial: Polynomial) -> str:
    """Return the symbol that this is; "" if it is anything else."""
    if len(polynomial.terms) != 1:
        return ""
    ((monomial, factor),) = polynomial.terms
    return monomial[0] if len(monomial) == factor == 1 else ""


def evaluated(polynomial: Polynomial, sizes: Mapping[str, int]) -> int | None:
    """Return what a polynomial is; None if a symbol is not known."""
    if any(name not in sizes for monomial, _ in polynomial.terms for name in monomial):
        return None
    return sum(
        factor * math.prod(sizes[name] for name in monomial)
        for monomial, factor in polynomial.terms
    )


def differs(before: np.ndarray, after: np.ndarray) -> np.ndarray | None:
    """Return which elements differ, bit for bit; None if the shapes do. NaN is equal to NaN."""
    before, after = np.asarray(before), np.asarray(after)
    if before.shape != after.shape or before.dtype != after.dtype:
        return None
    if before.dtype.kind != "f":
        return np.asarray(before != after)
    whole = f"i{before.dtype.itemsize}"
    bits = np.ascontiguousarray(before).view(whole) != np.ascontiguousarray(after).view(whole)
    unequal = bits & ~(np.isnan(before) & np.isnan(after))
    return np.asarray(unequal).reshape(before.shape)


def _places(rows: RowAxis, place: int, value: np.ndarray, sizes: Mapping[str, int]) -> np.ndarray:
    """Return which elements may depend on a row."""
    allowed = np.zeros(value.shape, bool)
    if value.ndim <= rows.axis:
        return allowed
    size = value.shape[rows.axis]
    outer, inner = (evaluated(part, sizes) for part in (rows.outer, rows.inner))
    count = sizes[ROWS]
    if inner is None and outer:
        inner = size // (outer * count)
    if not inner:
        return ~allowed  # nothing is known of a size that is not followed
    chosen = np.arange(size) // inner % count == place
    view = np.moveaxis(allowed, rows.axis, -1)
    view[..., chosen] = True
    return allowed


def _unequal(runs: Mapping[int, Arrays], name: str, rows: RowAxis) -> bool:
    """Whether parts of copies of a row differ, by more than rounding."""
    parts = [
        part
        for count, results in runs.items()
        if name in results
        for part in _parts(np.asarray(results[name]), count, rows)
    ]
    return any(not _is_near(parts[0], part) for part in parts[1:])


def _parts(value: np.ndarray, count: int, rows: RowAxis) -> Iterator[np.ndarray]:
    """Return what each row's places hold, where the sizes are numbers."""
    outer, inner = rows.outer.constant, rows.inner.constant
    if not outer or not inner or value.ndim <= rows.axis:
        return
    if value.shape[rows.axis] != outer * count * inner:
        return
    split = np.moveaxis(value, rows.axis, 0).reshape(outer, count, inner, -1)
    for place in range(count):
        yield split[:, place]


def _is_near(left: np.ndarray, right: np.ndarray) -> bool:
    if left.shape != right.shape:
        return False
    if left.dtype.kind != "f":
        return bool((left == right).all())
    usual = np.isfinite(left) & np.isfinite(right)
    a, b = left[usual].astype("f8"), right[usual].astype("f8")
    allowed = _NEAR * np.abs(a) + _NEAR_WHOLE * np.abs(a).max(initial=0)
    return bool((np.abs(a - b) <= allowed).all())


def violations(claims: Claims, recording: Recording) -> list[str]:
    """Return in words which claims are not true."""
    judge = _Judge(claims)
    judge.judge(recording)
    return list(dict.fromkeys(judge.found))


# Many graphs.


def check(graph: RandomGraph, label: object, broken: Sequence[str] = ()) -> dict[str, Any]:
    """Check one graph; return counts of claims, violations, and the broken rules that it shows."""
    claims = follow(graph.model)
    recording = record(graph, np.random.default_rng(len(graph.model.graph.node)))
    found = violations(claims, recording)
    texts = [_named(graph.model, label, text) for text in found[:_MAX_TEXTS]]
    caught = {}
    for name in broken:
        with broken_rules.broken(name):
            wrong = follow(graph.model)
        changed = {key: claim for key, claim in wrong.items() if claim != claims.get(key)}
        if changed and (shown := violations(changed, recording)):
            caught[name] = _named(graph.model, label, shown[0])
    kinds = Counter(_kind(claim) for claim in claims.values())
    ran = len(recording.experiments)
    return {"counts": {"graphs": 1, "runs": ran, **kinds}, "violations": texts, "caught": caught}


def follow(model: ModelProto) -> Claims:
    """Return the claims about a model's tensors; none of one that is refused as a whole."""
    try:
        return proof.follow(model)
    except MixesRowsError:
        return {}


def _kind(claim: Tensor | Refused) -> str:
    if isinstance(claim, Refused):
        return "refused"
    return "same" if claim.rows is None else "rows"


def _named(model: ModelProto, label: object, text: str) -> str:
    name = text.partition(":")[0]
    node = next((node for node in model.graph.node if name in node.output), None)
    return f"{label}, {node.op_type if node else 'input'} {text}"


Task = tuple[str, Callable[[], RandomGraph]]
"""A label, and what makes a graph."""


def in_forks(tasks: Sequence[Task], broken: Sequence[str]) -> Iterator[dict[str, Any] | None]:
    """Check graphs in forks; None stands for one on which ONNX Runtime crashed."""
    rest, open_rules = list(tasks), list(broken)
    while rest:
        chunk = rest[:_CHUNK]
        done = 0
        for result in _forked(chunk, open_rules):
            done += 1
            open_rules = [name for name in open_rules if name not in result["caught"]]
            yield result
        if done < len(chunk):
            yield None
            done += 1
        rest = rest[done:]


def _forked(chunk: Sequence[Task], broken: Sequence[str]) -> Iterator[dict[str, Any]]:
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        _work(chunk, broken, writer)
    os.close(writer)
    with open(reader, encoding="utf-8") as lines:  # noqa: PTH123 - not a path
        for line in lines:
            yield json.loads(line)
    os.waitpid(child, 0)


def _work(chunk: Sequence[Task], broken: Sequence[str], writer: int) -> None:
    """Check a chunk as a child, which ends here."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    with open(writer, "w", encoding="utf-8") as lines:
        for label, make in chunk:
            signal.alarm(_MAX_SECONDS)
            try:
                result = check(make(), label, broken)
            except Exception as error:  # noqa: BLE001 - told as a violation
                text = f"{label}: the check fails with {type(error).__name__}: {error}"
                result = {"counts": {"graphs": 1}, "violations": [text], "caught": {}}
            broken = [name for name in broken if name not in result["caught"]]
            lines.write(json.dumps(result) + "\n")
            lines.flush()
    os._exit(0)


def summary(tasks: Sequence[Task], broken: Sequence[str]) -> dict[str, Any]:
    """Check all graphs and add up what was found."""
    counts: Counter[str] = Counter(graphs=0, crashes=0, rows=0, same=0, refused=0)
    found: list[str] = []
    caught: dict[str, str] = {}
    for result in in_forks(tasks, broken):
        if result is None:
            counts["crashes"] += 1
            continue
        counts.update(result["counts"])
        found += result["violations"]
        caught = {**result["caught"], **caught}
    return {**counts, "violations": found, "caught": caught}


# Tests of operators by the package `onnx`.


def node_tests() -> Iterator[Task]:
    """Yield each that has one node, with the inputs whose axis 0 could be that of the rows."""
    with warnings.catch_warnings():  # some compute with NaN
        warnings.simplefilter("ignore")
        cases = loader.load_model_tests(kind="node")
    for case in cases:
        if case.model is None or len(case.model.graph.node) != 1:
            continue
        values = dict(
            zip((one.name for one in case.model.graph.input), case.data_sets[0][0], strict=False)
        )
        for names in _choices_of_rows(values):
            yield case.name, partial(_with_rows, case.model, values, names)


def _choices_of_rows(values: Mapping[str, Any]) -> list[list[str]]:
    """Return which inputs could have rows: all that are as long as the first, or it alone."""
    if any(not isinstance(value, np.ndarray) or not value.size for value in values.values()):
        return []
    if any(value.dtype.kind not in "fiubOU" for value in values.values()):
        return []
    tables = [name for name, value in values.items() if value.ndim]
    equal = [name for name in tables if len(values[name]) == len(values[tables[0]])]
    return [equal, equal[:1]] if len(equal) > 1 else [equal] if equal else []


def _with_rows(
    model: ModelProto, values: Mapping[str, np.ndarray], names: Sequence[str]
) -> RandomGraph:
    """Return a model in which some inputs have any number of rows, and the others are constants."""
    made = ModelProto()
    made.CopyFrom(model)
    made.ir_version = min(made.ir_version, _IR_VERSION)
    for opset in made.opset_import:
        opset.version = min(opset.version, _NEWEST)
    del made.graph.input[:]
    for value in model.graph.input:
        if value.name in names:
            made.graph.input.append(value)
            made.graph.input[-1].type.tensor_type.shape.dim[0].ClearField("value")
        elif value.name in values:
            plain = values[value.name]
            plain = plain.astype(object) if plain.dtype.kind == "U" else plain
            made.graph.initializer.append(numpy_helper.from_array(plain, value.name))
    graph = described(made)
    return replace(graph, dynamic={}, samples={name: values[name] for name in names})


def _is_proved(task: Task) -> bool:
    """Whether a test's model is proved; one that is not, or has an input of no tensor, is left."""
    try:
        return proof.prove(task[1]().model).reason is None
    except (
        LookupError,
        ValueError,
        TypeError,
        AttributeError,
    ):  # no model with a tensor for each input
        return False


def main() -> None:
    """Read arguments, check, and print one line."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--graphs", type=int, default=300)
    arguments.add_argument("--broken", default="", help="the name of a broken rule, or all")
    arguments.add_argument("--nodes", action="store_true", help="tests of operators, not graphs")
    given = arguments.parse_args()
    if given.nodes:
        ort.set_default_logger_severity(4)
        print(json.dumps(summary(list(filter(_is_proved, node_tests())), [])))  # noqa: T201
        return
    names = list(broken_rules.NAMES) if given.broken == "all" else [given.broken]
    broken = [name for name in names if name]
    tasks: list[Task] = [  # first those that show a rule which no other graph need show again
        (f"hostile {name}", lambda text=text: described(parser.parse_model(text)))
        for name, text in itertools.chain(*(broken_rules.hostile(name) for name in broken))
    ]
    tasks += [
        (f"seed {seed}", lambda seed=seed: random_graph(seed))
        for seed in range(given.seed, given.seed + given.graphs)
    ]
    ort.set_default_logger_severity(4)
    print(json.dumps(summary(tasks, broken)))  # noqa: T201 - the answer


if __name__ == "__main__":
    main()
