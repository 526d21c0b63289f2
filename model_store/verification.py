"""Having a model looked at by a child process, so that a hostile file can crash only that."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import orjson

from model_store.errors import MissingDataError, StoreError, invalid_model
from model_store.manifest import Inspection
from protos.errors import ErrorCode

_GIB = 1 << 30
_LONGEST_LOG = 2000


class Verifier:
    """Runs a command that loads one model file and reports on it, under limits.

    The command is given `MODEL --report FD --memory-bytes N --cpu-seconds N`. It limits itself,
    and writes one JSON document to the descriptor FD: `{"inspection": …}`, `{"missing": [paths]}`
    where external data does not lie beside the model, or `{"refused": "why"}`. Nothing else that
    it prints counts: some broken files make the runtime print.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        memory_bytes: int = 4 * _GIB,
        timeout_seconds: float = 300.0,
    ) -> None:
        """Use `command`, as in `[sys.executable, "-m", "inference_server.runtime.verify"]`.

        `memory_bytes` of address space come on top of four times the size of the model's folder,
        which loading takes anyway. After `timeout_seconds` the child is killed.
        """
        self._command = tuple(command)
        self._memory_bytes = memory_bytes
        self._timeout_seconds = timeout_seconds

    def inspect(self, model: Path) -> Inspection:
        """Return what the runtime reports about `model`; blocks while the child loads it.

        Raises MissingDataError where files that the model needs do not lie beside it, StoreError
        (INVALID_MODEL) where the runtime refuses it, crashes over it, or goes over a limit, and
        StoreError (INTERNAL) where the child could not do its work at all.
        """
        memory_bytes = self._memory_bytes + 4 * _size(model.parent)
        limits = ["--memory-bytes", str(memory_bytes), "--cpu-seconds", str(self._cpu_seconds)]
        with TemporaryFile() as report, TemporaryFile() as log:
            descriptor = report.fileno()
            command = [*self._command, str(model), "--report", str(descriptor), *limits]
            status = self._run(command, descriptor, log)
            return _inspection(_read(report), status, _read(log))

    @property
    def _cpu_seconds(self) -> int:
        """Ends a child whose parent died; one whose parent lives meets the timeout before."""
        return int(self._timeout_seconds) + 10

    def _run(self, command: Sequence[str], report: int, log: IO[bytes]) -> int:
        """Return the child's exit status; whatever happens, no child is left."""
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            pass_fds=(report,),
            start_new_session=True,
        )
        try:
            return child.wait(self._timeout_seconds)
        except subprocess.TimeoutExpired:
            raise invalid_model(f"loading it takes more than {self._timeout_seconds:g} s") from None
        finally:
            if child.returncode is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()


def _inspection(report: bytes, status: int, log: bytes) -> Inspection:
    """Make sense of a child's report, its exit status and what it wrote to stderr."""
    if status < 0:
        raise invalid_model(f"loading it crashed the runtime ({signal.Signals(-status).name})")
    try:
        document: dict[str, Any] = orjson.loads(report)  # Any: checked key by key
        if "refused" in document:
            raise invalid_model(str(document["refused"]))
        if "missing" in document:
            raise MissingDataError([str(location) for location in document["missing"]])
        return Inspection.from_json(orjson.dumps(document["inspection"]))
    except (ValueError, TypeError, KeyError) as error:
        said = log[-_LONGEST_LOG:].decode(errors="replace").strip().rpartition("\n")[2]
        message = f"the verifier failed (exit status {status}): {said or error}"
        raise StoreError(ErrorCode.INTERNAL, message) from error


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _read(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read()
