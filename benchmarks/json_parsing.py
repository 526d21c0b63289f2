"""Ways from a JSON body with 150,000 numbers to their FP32 bytes (docs/adr/0010-large-json.md).

    python -m benchmarks.json_parsing [--rounds 30]

Each way reads the body of a trigger, 1.6 MB, for four nestings. Shown is the least CPU time of all
rounds, in milliseconds. `msgspec` takes part where it is installed.
"""

from __future__ import annotations

import argparse
import io
import math
import struct
import time
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from itertools import chain
from typing import Any

import numpy as np
import orjson
import simdjson
from rich.console import Console
from rich.table import Table

from benchmarks.options import count
from protos import large_json
from protos.datatypes import DATATYPES
from protos.json_tensors import from_json, pack_json

SHAPES = ((150_000,), (1, 3, 224, 224), (224, 224, 3), (37_500, 4))
_FP32 = DATATYPES["FP32"]

Way = Callable[[bytes, tuple[int, ...]], bytes]


def orjson_numpy(body: bytes, _shape: tuple[int, ...]) -> bytes:
    """Read with orjson and let numpy make an array of the lists: nothing is checked."""
    value = orjson.loads(body)["input_data"]["x"]
    return np.array(value, np.float32).tobytes()


def orjson_checked(body: bytes, _shape: tuple[int, ...]) -> bytes:
    """Do the same with all checks: what smaller bodies get."""
    value = orjson.loads(body)["input_data"]["x"]
    return from_json(value, _FP32, tensor="x").tobytes()


def orjson_struct(body: bytes, shape: tuple[int, ...]) -> bytes:
    """Read with orjson, flatten, pack with struct: nothing is checked."""
    value = orjson.loads(body)["input_data"]["x"]
    for _ in shape[1:]:
        value = list(chain.from_iterable(value))
    return struct.pack(f"<{len(value)}f", *value)


def msgspec_typed(body: bytes, shape: tuple[int, ...]) -> bytes:
    """Let msgspec check for lists of float while it parses."""
    import msgspec

    kind: Any = float  # Any: a type that is put together here
    for _ in shape:
        kind = list[kind]
    value = msgspec.json.decode(body, type=dict[str, dict[str, kind]])["input_data"]["x"]
    return np.array(value, np.float32).tobytes()


def loadtxt(body: bytes, _shape: tuple[int, ...]) -> bytes:
    """Cut the array out and let numpy parse it: nothing is checked."""
    text = body[body.index(b"[") :].translate(None, b"[]}")
    return np.loadtxt(io.BytesIO(text), np.float32, delimiter=",").tobytes()


def simdjson_buffer(body: bytes, _shape: tuple[int, ...]) -> bytes:
    """Take pysimdjson's buffer, which flattens ragged arrays without a word."""
    document: Any = simdjson.Parser().parse(body)  # Any: proxies
    buffer = document["input_data"]["x"].as_buffer(of_type="d")
    return np.frombuffer(buffer).astype(np.float32).tobytes()


def slipstream(body: bytes, _shape: tuple[int, ...]) -> bytes:
    """Do what the gateway does, with all checks."""
    document: Any = large_json.loads(body)  # Any: JSON
    return pack_json(document["input_data"]["x"], _FP32, tensor="x")[1]


WAYS: Mapping[str, Way] = {
    "numpy.loadtxt, unchecked": loadtxt,
    "orjson + checks + numpy": orjson_checked,
    "orjson + numpy, unchecked": orjson_numpy,
    "msgspec, typed + numpy": msgspec_typed,
    "orjson + struct, unchecked": orjson_struct,
    "pysimdjson's buffer, ragged taken": simdjson_buffer,
    "Slipstream: skeleton + pysimdjson": slipstream,
}


def least_ms(way: Way, body: bytes, shape: tuple[int, ...], rounds: int) -> float:
    """Return the least CPU time of `way`, in milliseconds."""
    least = math.inf
    for _ in range(rounds):
        start = time.process_time()
        way(body, shape)
        least = min(least, time.process_time() - start)
    return least * 1e3


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser("python -m benchmarks.json_parsing", description=__doc__)
    parser.add_argument("--rounds", type=count, default=30)
    rounds = parser.parse_args().rounds
    table = Table(box=None)
    table.add_column("ms of CPU")
    for shape in SHAPES:
        table.add_column("x".join(map(str, shape)), justify="right")
    random = np.random.default_rng(1)
    arrays = [np.round(random.random(shape), 8) for shape in SHAPES]
    for name, way in WAYS.items():
        if way is msgspec_typed and not find_spec("msgspec"):
            continue
        cells = []
        for shape, array in zip(SHAPES, arrays, strict=True):
            body = orjson.dumps({"input_data": {"x": array.tolist()}})
            assert way(body, shape) == array.astype("<f4").tobytes(), name
            cells.append(f"{least_ms(way, body, shape, rounds):.1f}")
        table.add_row(name, *cells)
    Console().print(table)


if __name__ == "__main__":
    main()
