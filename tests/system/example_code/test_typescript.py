"""Examples in TypeScript compile without an error, and run."""

from __future__ import annotations

import re
import subprocess
from itertools import product
from pathlib import Path

import pytest

from tests.system.example_code.examples import (
    EXPECTED,
    MASK,
    SECONDS,
    VARIANTS,
    Examples,
    echo_flow,
    printed,
)
from tests.system.example_code.test_literals import CASES
from tests.system.example_code.typescript import compile_types, node_command

pytestmark = [pytest.mark.services, pytest.mark.timeout(400)]
FORMATS = ("auto", "flat", "envelope")


def written(examples: Examples, folder: Path, deployment: str, **choices: object) -> dict[str, str]:
    """Write the examples of a deployment; return variant → file, below `folder`."""
    found: dict[str, str] = {}
    key = examples.installation.key
    for example in examples.of(deployment, language="typescript", **choices)["items"]:
        name = f"{deployment}_{example['variant']}_{example['filename']}"
        (folder / name).write_text(MASK.sub(key, example["code"]))
        found[example["variant"]] = name
    return found


def run(examples: Examples, folder: Path, name: str) -> str:
    """Run a compiled program."""
    return printed(
        subprocess.run(
            node_command(folder, name),
            cwd=examples.folder,
            env=examples.environment(),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    )


def test_every_example_compiles_and_runs(examples: Examples, node_folder: Path) -> None:
    programs = {}
    for mode, kind, response_format in product(VARIANTS, ("api", "server"), FORMATS):
        deployment = examples.deploy(mode, kind, response_format=response_format)
        for variant, name in written(examples, node_folder, deployment).items():
            programs[name] = (mode, variant)
    compile_types(node_folder, *programs)
    for name, (mode, variant) in programs.items():
        if variant == "webhook":
            continue  # see test_receivers.py
        output = run(examples, node_folder, name)
        for expected in EXPECTED[mode][variant]:
            assert re.search(expected, output), (name, output)


@pytest.mark.long
def test_types_are_those_of_the_schema(examples: Examples, node_folder: Path) -> None:
    flow = echo_flow({"param1": CASES})
    flow["nodes"][0]["config"]["schema"] = {
        "type": "object",
        "properties": {
            "param1": {"type": "object"},
            'it\'s "quoted"': {"type": ["integer", "null"]},
            "choice": {"enum": ["a", 1, None]},
            "any": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"const": True}}]},
        },
        "required": ["param1"],
    }
    deployment = examples.runs.deploy(flow, "sync", "server")
    name = written(examples, node_folder, deployment, variant="wait")["wait"]
    assert (
        'type Input = { "param1": Record<string, unknown>; '
        '"it\'s \\"quoted\\""?: (number | null); "choice"?: ("a" | 1 | null); '
        '"any"?: (string | Array<true>) };'
    ) in (node_folder / name).read_text()
    compile_types(node_folder, name)
    run(examples, node_folder, name)
    assert examples.output_of_last_run(deployment) == {"param1": CASES}
