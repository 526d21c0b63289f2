"""What the proof of independent rows says of random graphs, and of ONNX's own tests, is true.

ROW_GRAPHS=50000 checks more graphs than each run of the tests can.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest

from tests.inference_server.rows import broken_rules

_GRAPHS = int(os.environ.get("ROW_GRAPHS", "100"))
_SEED = "600"
"""Of few graphs, those from this one on show every broken rule: others need three times as many."""
_SECONDS = 120 + _GRAPHS // 5

pytestmark = [pytest.mark.search, pytest.mark.timeout(_SECONDS)]


def _checked(*arguments: str) -> Mapping[str, Any]:
    command = [sys.executable, "-m", "tests.inference_server.rows.checking", *arguments]
    finished = subprocess.run(command, check=True, capture_output=True, text=True)
    # The last line: ONNX Runtime prints, too.
    return dict(json.loads(finished.stdout.splitlines()[-1]))


@pytest.fixture(scope="module")
def report() -> Mapping[str, Any]:
    """What the random graphs show, of the rules and of broken ones."""
    return _checked("--seed", _SEED, "--graphs", str(_GRAPHS), "--broken", "all")


def test_what_is_claimed_of_random_graphs_is_true(report: Mapping[str, Any]) -> None:
    assert report["violations"] == []
    assert report["crashes"] <= _GRAPHS / 50
    assert report["runs"] > 5 * _GRAPHS


def test_rows_are_followed_through_many_tensors_of_random_graphs(
    report: Mapping[str, Any],
) -> None:
    assert report["rows"] > (report["rows"] + report["same"] + report["refused"]) / 4


@pytest.mark.parametrize("name", broken_rules.NAMES)
def test_a_broken_rule_is_noticed(report: Mapping[str, Any], name: str) -> None:
    assert name in report["caught"]


@pytest.mark.long
def test_what_is_claimed_of_the_tests_of_operators_is_true() -> None:
    found = _checked("--nodes")
    assert found["violations"] == []
    assert found["graphs"] > 500
    assert found["runs"] > 5 * found["graphs"]
