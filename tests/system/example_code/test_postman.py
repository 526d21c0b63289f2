"""Postman's own importer understands the masked cURL commands."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.system.example_code.examples import MASK, Examples, echo_flow
from tests.system.example_code.test_literals import CASES

pytestmark = [pytest.mark.services, pytest.mark.timeout(400)]


@pytest.mark.parametrize(
    ("mode", "variant"), [("sync", "wait"), ("sync", "batch"), ("async", "start")]
)
@pytest.mark.parametrize("choices", [{}, {"retry": "true"}, {"version": 1}], ids=str)
def test_the_importer_fills_in_the_request(
    examples: Examples, node_folder: Path, mode: str, variant: str, choices: dict[str, object]
) -> None:
    deployment = examples.runs.deploy(echo_flow({"param1": CASES}), mode, "server")
    code = examples.one(deployment, "curl", variant, **choices)["code"]
    ran = subprocess.run(
        ["node", "import_into_postman.cjs"],
        cwd=node_folder,
        input=code,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    imported = json.loads(ran.stdout)
    path = f"/node/deployment-trigger/{deployment}/"
    path += "batch/" if variant == "batch" else ""
    path += "?version=1" if "version" in choices else ""
    assert imported["method"] == "POST"
    assert imported["url"] == examples.installation.up.url + path
    headers = {header["key"]: header["value"] for header in imported["header"]}
    assert MASK.fullmatch(headers.pop("X-API-Key"))
    assert headers.pop("Content-Type") == "application/json"
    assert set(headers) == ({"Idempotency-Key"} if "retry" in choices else set())
    assert imported["body"]["mode"] == "raw"
    one = {"param1": CASES}
    body = json.loads(imported["body"]["raw"])
    assert body == {"input_data": [one, one] if variant == "batch" else one}
