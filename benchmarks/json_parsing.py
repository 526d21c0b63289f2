"""Parsers of a JSON body with 150,000 numbers into FP32 bytes (docs/adr/0010-large-json.md).

    python -m benchmarks.json_parsing [--rounds 30]

Each reads the body of a fast call, 1.6 MB, in four nestings. The table has the minimal CPU time of
all rounds, in milliseconds.
"""

from __future__ import annotations

import argparse
import io
import math
import struct
import time
from collections.abc import Callable, Mapping
from itertools import chain
from typing import Any

import numpy as np
import orjson
import simdjson
from rich.console import Console
from rich.table import Table

from benchmarks.scenario import positive
from protos import large_json
from protos.datatypes import DATATYPES
from protos.json_tensors import from_json, pack_json

SHAPES = ((150_000,), (1, 3, 224, 224), (224, 224, 3), (37_500, 4))
_FP32 = DATATYPES["FP32"]

Parser = Callable[[bytes, tuple[int, ...]], bytes]


def orjson_numpy(body: bytes, _shape: tuple[int, ...]) -> bytes:
    """Parse with orjson, convert with numpy: nothing is checked."""
    value = orjson.loads(body)["input_data"]["x"]
    return np.array(value, np.float32).tobytes()


def orjson_checked(body: bytes, _shape: tuple[int, ...]) -> bytes:
    """Do the same with all checks, as the gateway does for smaller bodies."""
    value = orjson.loads(body)["input_data"]["x"]
    return from_json(value, _FP32, tensor="x").tobytes()


def orjson_struct(body: bytes, shape: tuple[int, ...]) -> bytes:
    """Parse with orjson, flatten, pack with struct: nothing is checked."""
    value = orjson.loads(body)["input_data"]["x"]
    for _ in shape[1:]:
        value = list(chain.from_iterable(value))
    return struct.pack(f"<{len(value)}f", *value)


def loadtxt(body: bytes, _shape: tuple[int, ...]) -> bytes:
    """Cut the array out and parse it with numpy: nothing is checked."""
    text = body[body.index(b"[") :].translate(None, b"[]}")
    return np.loadtxt(io.BytesIO(text), np.float32, delimiter=",").tobytes()


def simdjson_buffer(body: bytes, _shape: tuple[int, ...]) -> bytes:
    """Use pysimdjson's buffer, which flattens ragged arrays silently."""
    document: Any = simdjson.Parser().parse(body)  # Any: proxies
    buffer = document["input_data"]["x"].as_buffer(of_type="d")
    return np.frombuffer(buffer).astype(np.float32).tobytes()


def slipstream(body: bytes, _shape: tuple[int, ...]) -> bytes:
    """Parse as the gateway does, with all checks."""
    document: Any = large_json.loads(body)  # Any: JSON
    return pack_json(document["input_data"]["x"], _FP32, tensor="x")[1]


PARSERS: Mapping[str, Parser] = {
    "numpy.loadtxt, unchecked": loadtxt,
    "orjson + checks + numpy": orjson_checked,
    "orjson + numpy, unchecked": orjson_numpy,
    "orjson + struct, unchecked": orjson_struct,
    "pysimdjson's buffer, ragged accepted": simdjson_buffer,
    "Slipstream: skeleton + pysimdjson": slipstream,
}


def min_ms(parse: Parser, body: bytes, shape: tuple[int, ...], rounds: int) -> float:
    """Return the minimal CPU time, in milliseconds."""
    minimum = math.inf
    for _ in range(rounds):
        start = time.process_time()
        parse(body, shape)
        minimum = min(minimum, time.process_time() - start)
    return minimum * 1e3


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser("python -m benchmarks.json_parsing", description=__doc__)
    parser.add_argument("--rounds", type=positive, default=30)
    rounds = parser.parse_args().rounds
    table = Table(box=None)
    table.add_column("ms of CPU")
    for shape in SHAPES:
        table.add_column("x".join(map(str, shape)), justify="right")
    random = np.random.default_rng(1)
    arrays = [np.round(random.random(shape), 8) for shape in SHAPES]
    for name, parse in PARSERS.items():
        cells = []
        for shape, array in zip(SHAPES, arrays, strict=True):
            body = orjson.dumps({"input_data": {"x": array.tolist()}})
            assert parse(body, shape) == array.astype("<f4").tobytes(), name
            cells.append(f"{min_ms(parse, body, shape, rounds):.1f}")
        table.add_row(name, *cells)
    Console().print(table)


if __name__ == "__main__":
    main()
