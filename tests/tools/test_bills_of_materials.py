"""`make sbom`: the bills of materials hold exactly what the locks pin."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.repository import ROOT

PINNED = re.compile(r"^([a-z0-9][a-z0-9._-]*)(?:\[[a-z,]+\])?==(\S+)", re.MULTILINE)
HASHES = re.compile(r"--hash=sha256:([0-9a-f]{64})")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with fresh bills; the tool has checked them against CycloneDX's schema."""
    target = tmp_path_factory.mktemp("dist")
    script = ROOT / "requirements" / "sbom.py"
    subprocess.run([sys.executable, str(script), str(target)], check=True, capture_output=True)
    return target


@pytest.mark.processes
@pytest.mark.parametrize("lock", ["run", "dev"])
def test_a_bill_lists_all_that_its_lock_pins_and_nothing_else(folder: Path, lock: str) -> None:
    bill = json.loads((folder / f"slipstream-{lock}.cdx.json").read_text())
    text = (ROOT / "requirements" / f"{lock}.lock").read_text()
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert bill["metadata"]["component"]["name"] == "slipstream"
    listed = {(part["name"], part["version"]) for part in bill["components"]}
    assert listed == set(PINNED.findall(text))
    assert len(listed) > 50
    hashes = {
        given["content"]
        for part in bill["components"]
        for reference in part["externalReferences"]
        for given in reference["hashes"]
    }
    assert hashes == set(HASHES.findall(text))
