"""Verification of a model in a child process, so that a hostile file can crash only that."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, NamedTuple

import orjson

from model_store.errors import MissingDataError, StoreError, invalid_model
from model_store.manifest import Inspection
from protos.errors import ErrorCode

_GIB = 1 << 30
_MAX_LOG_BYTES = 2000
_LOOK_SECONDS = 0.25
"""Between looks at whether a child is to end."""
_VARIABLES = ("LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "TMPDIR")
"""Of the environment, which the child gets."""


class Verifier:
    """Runs a command that loads one model file and reports on it, under limits.

    The command gets the arguments `MODEL --report FD --memory-bytes N --cpu-seconds N`. It applies
    the limits to itself, and writes one JSON document to the descriptor FD: `{"inspection": …}`,
    `{"missing": [paths]}` if external data is not beside the model, or `{"refused": "why"}`. Its
    other output is ignored: ONNX Runtime prints about some damaged files.

    Without MODEL and `--memory-bytes` it reads lines `{"model": …, "memory_bytes": …}` from stdin,
    loads each model in a child of its own, and writes a line `{"status": …, "report": …}` for each:
    the child's exit status, or minus the signal that ended it, and its document.
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
        which loading needs anyway. After `timeout_seconds` the child is killed.
        """
        self._command = tuple(command)
        self.memory_bytes = memory_bytes
        self._timeout_seconds = timeout_seconds
        self._forking: _ForkingChild | None = None

    @contextmanager
    def one_process(self) -> Iterator[None]:
        """Have one process inspect all models meanwhile, one after the other.

        It has imported what that needs, a second's work, and forks for each. For one thread.
        """
        command = [*self._command, "--cpu-seconds", str(_cpu_seconds(self._timeout_seconds))]
        self._forking = _ForkingChild(command, self._timeout_seconds)
        try:
            yield
        finally:
            self._forking.close()
            self._forking = None

    def inspect(self, model: Path) -> Inspection:
        """Return what the child reports about `model`; blocks while the child loads it.

        Raises:
            MissingDataError: files that the model needs are not beside it.
            StoreError: INVALID_MODEL if ONNX Runtime rejects the model, crashes on it or exceeds a
                limit; INTERNAL if the child itself does not work.
        """
        memory_bytes = self.memory_bytes + 4 * folder_size(model.parent)
        if self._forking is not None:
            return self._forking.inspect(model, memory_bytes)
        command = [*self._command, str(model)]
        return _inspection(*run_limited(command, memory_bytes, self._timeout_seconds))


class ChildReport(NamedTuple):
    """What a child has left: its report, its exit status, and what it has printed on stderr."""

    report: bytes
    status: int
    log: bytes


def run_limited(
    command: Sequence[str],
    memory_bytes: int,
    seconds: float,
    ended: threading.Event | None = None,
) -> ChildReport:
    """Run a command that loads a model, with the arguments that `Verifier` describes.

    No child is left, even after an exception.

    Args:
        command: without these arguments.
        memory_bytes: of address space.
        seconds: that it may take.
        ended: once it is set, the child is killed soon.

    Raises:
        StoreError: INVALID_MODEL if it takes longer than `seconds`; SHUTTING_DOWN if `ended` is set
            meanwhile.
    """
    limits = ["--memory-bytes", str(memory_bytes), "--cpu-seconds", str(_cpu_seconds(seconds))]
    with TemporaryFile() as report, TemporaryFile() as log:
        descriptor = report.fileno()
        arguments = [*command, "--report", str(descriptor), *limits]
        child = _spawn(arguments, descriptor, log, stdin=subprocess.DEVNULL)
        try:
            status = _wait_for(child, seconds, ended)
        finally:
            _kill(child)
        return ChildReport(_read(report), status, _read(log))


def describe_failure(status: int, log: bytes, error: Exception) -> StoreError:
    """Return the error for a child whose report is not one."""
    if status < 0:
        return invalid_model(f"loading it crashed the runtime ({signal.Signals(-status).name})")
    last_line = log[-_MAX_LOG_BYTES:].decode(errors="replace").strip().rpartition("\n")[2]
    message = f"the verifier failed (exit status {status}): {last_line or error}"
    return StoreError(ErrorCode.INTERNAL, message)


def _wait_for(child: subprocess.Popen[bytes], seconds: float, ended: threading.Event | None) -> int:
    """Return the exit status of a child; raises as `run_limited`."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        if ended is not None and ended.is_set():
            raise StoreError(ErrorCode.SHUTTING_DOWN, "the process ends: send it again")
        with suppress(subprocess.TimeoutExpired):
            return child.wait(min(left, _LOOK_SECONDS))
    raise _too_slow(seconds)


def _cpu_seconds(seconds: float) -> int:
    """Ends a child whose parent has died; otherwise `seconds` pass earlier."""
    return int(seconds) + 10


class _ForkingChild:
    """The command for several models. It is started when it is first needed, and after a kill."""

    def __init__(self, command: Sequence[str], timeout_seconds: float) -> None:
        self._command = command
        self._timeout_seconds = timeout_seconds
        self._child: subprocess.Popen[bytes] | None = None
        self._replies: IO[bytes] | None = None
        self._log: IO[bytes] | None = None

    def inspect(self, model: Path, memory_bytes: int) -> Inspection:
        """Do what `Verifier.inspect` does."""
        if self._child is None:
            self._start()
        assert self._child is not None
        assert self._child.stdin is not None
        assert self._replies is not None
        assert self._log is not None
        self._log.seek(0)  # which the child shares
        self._log.truncate()
        asked = {"model": str(model), "memory_bytes": memory_bytes}
        is_late = threading.Event()

        def end(child: subprocess.Popen[bytes] = self._child) -> None:
            is_late.set()
            os.killpg(child.pid, signal.SIGKILL)

        timer = threading.Timer(self._timeout_seconds, end)
        timer.start()
        try:
            with suppress(BrokenPipeError):  # it has ended: there is no reply either
                self._child.stdin.write(orjson.dumps(asked, option=orjson.OPT_APPEND_NEWLINE))
                self._child.stdin.flush()
            line = self._replies.readline()
        finally:
            timer.cancel()
        log = _read(self._log)
        if line.endswith(b"\n") and not is_late.is_set():
            reply = orjson.loads(line)
            return _inspection(reply["report"].encode(), reply["status"], log)
        status = self._child.wait()  # it has died, or is about to
        self.close()
        if is_late.is_set():
            raise _too_slow(self._timeout_seconds)
        return _inspection(b"", status, log)

    def close(self) -> None:
        """End it."""
        child, replies, log = self._child, self._replies, self._log
        self._child = self._replies = self._log = None
        if child is not None:
            _kill(child)
            for file in (child.stdin, replies, log):
                with suppress(BrokenPipeError):  # what could not be sent is sent again
                    if file is not None:
                        file.close()

    def _start(self) -> None:
        replies, report = os.pipe()
        self._replies = os.fdopen(replies, "rb")
        self._log = TemporaryFile()  # noqa: SIM115 - `close` closes it
        try:
            command = [*self._command, "--report", str(report)]
            self._child = _spawn(command, report, self._log, stdin=subprocess.PIPE)
        finally:
            os.close(report)


def _spawn(
    command: Sequence[str], report: int, log: IO[bytes], *, stdin: int
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        stdin=stdin,
        stdout=subprocess.DEVNULL,
        stderr=log,
        env=_environment(),
        pass_fds=(report,),
        start_new_session=True,
    )


def _kill(child: subprocess.Popen[bytes]) -> None:
    """End a child, if it has not ended, and its children."""
    if child.returncode is None:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _too_slow(seconds: float) -> StoreError:
    return invalid_model(f"loading it takes longer than {seconds:g} s")


def _environment() -> dict[str, str]:
    """Return the child's environment: none of this process's secrets."""
    inherited = {name: os.environ[name] for name in _VARIABLES if name in os.environ}  # noqa: TID251
    return {**inherited, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def _inspection(report: bytes, status: int, log: bytes) -> Inspection:
    """Interpret a child's report, its exit status and its output on stderr."""
    if status < 0:
        raise describe_failure(status, log, ValueError("no report"))
    try:
        document: dict[str, Any] = orjson.loads(report)  # Any: checked key by key
        if "refused" in document:
            raise invalid_model(str(document["refused"]))
        if "missing" in document:
            raise MissingDataError([str(location) for location in document["missing"]])
        return Inspection.from_json(orjson.dumps(document["inspection"]))
    except (ValueError, TypeError, KeyError) as error:
        raise describe_failure(status, log, error) from error


def folder_size(folder: Path) -> int:
    """Return the bytes of all files below `folder`."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _read(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read()
