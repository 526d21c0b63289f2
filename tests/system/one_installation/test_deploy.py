"""`slipstream deploy`, beside a running installation: what it prints can be called at once."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests import onnx_models
from tests.slipstream.cli import Cli
from tests.system.installation import Installation


def test_the_printed_program_is_answered(installation: Installation, tmp_path: Path) -> None:
    cli = Cli(installation.up.state)
    printed = cli.run("deploy", str(onnx_models.mlp(tmp_path / "printed.onnx"))).stdout
    curl, _, programs = printed.partition("In Python:\n\n")
    program, *_ = programs.partition("\n\nIn JavaScript:")
    url = re.search(r"http://\S+", curl)
    assert url is not None
    assert url[0] in printed.splitlines()[0]
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "'status': 'completed'" in ended.stdout
