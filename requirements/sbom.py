"""Write what the locks pin as bills of materials, CycloneDX 1.6 in JSON (`make sbom`).

One for each lock: `slipstream-run.cdx.json` is what an installation runs on, and
`slipstream-dev.cdx.json` has what it is checked with, too. The same lock gives the same file: there
is no time in it, and no random number.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
LOCKS = ("run", "dev")
# The tool warns that a lock does not say who needs what, which is so.
COMMAND = (sys.executable, "-W", "ignore::UserWarning", "-m", "cyclonedx_py", "requirements")
OPTIONS = ("--pyproject", "pyproject.toml", "--sv", "1.6", "--of", "JSON", "--output-reproducible")


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for lock in LOCKS:
        target = folder / f"slipstream-{lock}.cdx.json"
        source = f"requirements/{lock}.lock"
        command = [*COMMAND, *OPTIONS, "--validate", "--output-file", str(target), source]
        subprocess.run(command, check=True, cwd=ROOT)
        sys.stdout.write(f"{target}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
