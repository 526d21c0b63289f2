"""A new user's way: one command, the calls that it prints, the next version, and all deleted."""

from __future__ import annotations

import ast
import json
import re
import shlex
import shutil
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest
from onnx import ModelProto
from skl2onnx import to_onnx
from skl2onnx.common.data_types import StringTensorType
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from tests.slipstream.cli import invoke
from tests.system.example_code.examples import SECONDS, Examples, printed
from tests.system.installation import Installation
from tests.timing import eventually

pytestmark = pytest.mark.services  # Node and curl
EXPORTED_BY_TORCH = Path(__file__).parent / "torch_model"
_TABLE = np.random.default_rng(7).normal(size=(60, 2)).astype("f4")
_PROMPT = "slipstream "


def churn(folder: Path, *, stays: int = 0) -> Path:
    """Write a classifier of scikit-learn with a map of probabilities; return its file."""
    labels = np.where((_TABLE[:, 0] > 0) ^ stays, "leaves", "stays")
    model = to_onnx(LogisticRegression().fit(_TABLE, labels), _TABLE[:1])
    return _written(model, folder / "churn.onnx")


def rainfall(folder: Path) -> Path:
    """Copy the model that PyTorch has exported, with its weights beside it."""
    shutil.copy(EXPORTED_BY_TORCH / "rainfall.onnx.data", folder)
    return Path(shutil.copy(EXPORTED_BY_TORCH / "rainfall.onnx", folder))


def spam(folder: Path) -> Path:
    """Write a classifier of texts; return its file."""
    texts = ["win money now", "free prize money", "lunch at noon", "see you at lunch"]
    # With lowercase=True the model needs a locale of the machine that runs it.
    words = TfidfVectorizer(lowercase=False, token_pattern="[a-z]+")
    model = make_pipeline(words, LogisticRegression()).fit(texts, [1, 1, 0, 0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = to_onnx(model, initial_types=[("text", StringTensorType([None, 1]))])
    return _written(made, folder / "spam.onnx")


@pytest.mark.parametrize("model", [churn, rainfall, spam])
def test_one_command_makes_an_endpoint_and_names_what_deletes_it(
    examples: Examples, tmp_path: Path, model: Callable[[Path], Path]
) -> None:
    command = _commands(examples.installation)
    file = model(tmp_path)
    said = command("deploy", str(file))
    curl, python, javascript = _programs(said)
    bodies = [
        json.loads(_output(examples, ["sh"], curl)),
        ast.literal_eval(_output(examples, [sys.executable, "-"], python)),
    ]
    # console.dir prints an object as Node shows it
    assert "status: 'completed'" in _output(examples, ["node", "--input-type=module"], javascript)
    for body in bodies:
        assert body["status"] == "completed"
    assert bodies[0]["output_data"] == bodies[1]["output_data"]

    pending, ran = [_named(said, "Delete it:")], []
    while pending:
        ran.append(pending.pop(0))
        after = command(*ran[-1])
        pending += [_words(line) for line in after.splitlines() if _PROMPT in line]
    assert [words[:2] for words in ran] == [
        ["deployments", "delete"],
        ["keys", "delete"],
        ["flows", "delete"],
        ["models", "unserve"],
        ["models", "remove"],
    ]
    for noun in ("deployments", "flows", "models"):
        items = examples.installation.command(noun, "list")["items"]
        assert file.stem not in {item["name"] for item in items}


def test_the_next_version_and_the_way_back_fail_no_call(examples: Examples, tmp_path: Path) -> None:
    installation = examples.installation
    command = _commands(installation)
    said = command("deploy", str(churn(tmp_path)))
    (key,) = re.findall(r"sk-[0-9A-Za-z]{46}", said.partition("\n\n")[0])
    (url,) = re.findall(r"POST (http\S+)", said.partition("\n")[0])

    def call(client: httpx.Client) -> str:
        rows = {"X": [[2.0, 0.0]]}
        answer = client.post(url, json={"input_data": rows}, headers={"X-API-Key": key})
        assert answer.status_code == 200, answer.text
        label: str = answer.json()["output_data"]["output_label"][0]
        return label

    def answered(expected: str) -> None:
        with httpx.Client(timeout=SECONDS) as client:
            eventually(lambda: call(client), lambda label: label == expected)

    with _repeated(call):
        answered("leaves")
        updated = command(*_named(said, "Next version:")[:1], str(churn(tmp_path, stays=1)))
        assert "version 2 is live" in updated
        answered("stays")
        command(*_named(updated, "Back to the last:"))
        answered("leaves")
    command(*_named(said, "Delete it:"))


@contextmanager
def _repeated(call: Callable[[httpx.Client], object]) -> Iterator[None]:
    """Call from four threads until the block ends; raise the first error."""
    ended = threading.Event()

    def repeat() -> None:
        with httpx.Client(timeout=SECONDS) as client:
            while not ended.is_set():
                call(client)

    with ThreadPoolExecutor(4) as threads:
        repeated = [threads.submit(repeat) for _ in range(4)]
        try:
            yield
        finally:
            ended.set()
    for future in repeated:
        future.result()


def _commands(installation: Installation) -> Callable[..., str]:
    """Return what runs a command on the installation and returns what it prints."""

    def run(*words: str) -> str:
        done = invoke([*words, "--state", str(installation.up.state)])
        assert done.exit_code == 0, done.output
        text: str = done.stdout
        return text

    return run


def _programs(said: str) -> tuple[str, str, str]:
    """Return the curl line and the programs that `deploy` has printed."""
    (curl,) = [line for line in said.splitlines() if line.startswith("curl ")]
    _, python, javascript = re.split(r"In (?:Python|JavaScript):\n", said)
    return curl, python, javascript.partition("More code:")[0]


def _named(said: str, label: str) -> list[str]:
    """Return the words of the command that follows a label."""
    (line,) = [line for line in said.splitlines() if line.startswith(label)]
    return _words(line)


def _words(line: str) -> list[str]:
    return shlex.split(line.partition(_PROMPT)[2])


def _output(examples: Examples, program: list[str], code: str) -> str:
    done = subprocess.run(
        program,
        input=code,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        env=examples.environment(),
        check=False,
    )
    return printed(done)


def _written(model: ModelProto, file: Path) -> Path:
    file.write_bytes(model.SerializeToString())
    return file
