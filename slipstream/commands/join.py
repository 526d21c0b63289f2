"""`slipstream join`: a further machine of an installation."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Sequence
from pathlib import Path

from slipstream.failures import ExitStatus, exit_on_error
from slipstream.join_token import JoinToken
from slipstream.settings import PREFIX, UpOptions, join_environment
from slipstream.supervisor.state_folder import ensure_state_folder
from telemetry.options import read

_DESCRIPTION = """\
Run everything on a further machine of an installation: gateways, a worker, and its share of the
inference servers. When this machine dies, the others take over what it ran.

TOKEN is what `slipstream hosts token` prints on a machine of the installation, - to read it from
stdin, or a file with it. It contains database, broker, model store and secrets. The options are
those of `slipstream up`. Models are in the store that the token names, or, if it names none, in
DIR/models, which has to be the same folder on all machines, such as of a network file system.
Inference servers listen on SLIPSTREAM_INFERENCE_TCP, and Prometheus reads them on
SLIPSTREAM_INFERENCE_METRICS, see docs/operations.md.

    export SLIPSTREAM_INFERENCE_TCP=10.0.0.6:0 SLIPSTREAM_INFERENCE_METRICS=10.0.0.6:0
    slipstream join /etc/slipstream.token --host 0.0.0.0 --behind-proxy
"""


def main(arguments: Sequence[str]) -> None:
    """Become `slipstream up --joined` with the variables of the token."""
    given, options = arguments[:1], arguments[1:]
    asks = given in (["-h"], ["--help"])
    if not asks and (not given or (given[0].startswith("-") and given[0] != "-")):
        sys.stderr.write("slipstream join: expected TOKEN first; see slipstream join --help\n")
        raise SystemExit(ExitStatus.USAGE)
    chosen = read(
        UpOptions,
        given if asks else options,
        prefix=PREFIX,
        program="slipstream join TOKEN",
        description=_DESCRIPTION,
    )
    with exit_on_error(as_json=chosen.json):
        token = JoinToken.decode(_text(given[0]))
        file = chosen.state / "inference-token" if token.inference_token else None
        environment = join_environment(token.variables, file)
        if file is not None:
            ensure_state_folder(chosen.state)
            file.write_text(f"{token.inference_token}\n")
    command = [sys.executable, "-m", "slipstream", "up", "--joined", "--no-demo", *options]
    os.execve(sys.executable, command, environment)


def _text(given: str) -> str:
    if given == "-":
        return sys.stdin.read()
    try:
        with Path(given).open() as file:
            if os.fstat(file.fileno()).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                sys.stderr.write(
                    f"slipstream join: {given} contains all secrets of the installation, and "
                    f"other users can access it: chmod 600 {given}\n"
                )
            return file.read()
    except (OSError, UnicodeDecodeError):  # it is the token itself
        return given
