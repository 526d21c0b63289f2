"""One inference call between its message and its answer: read in full, or known by its form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from inference_server.data_plane.batching import BaseCall, BatchResult, Feeds, Key
from inference_server.data_plane.responses import ResponseEncoder
from inference_server.errors import InferenceError, as_inference_error
from protos.message_templates import InferRequestTemplate


class Responder(Protocol):
    """Who made a call, and gets its answer. Everything happens on the event loop."""

    streamed: bool
    """Whether the answer is to be a part of a stream."""

    def answered(self, call: InferenceCall, message: bytes) -> None:
        """Take the answer, encoded."""

    def cancel(self, call_id: str) -> None:
        """Abandon the call of this id, if it is not answered yet."""

    def failed(self, call: InferenceCall | None, call_id: str, error: InferenceError) -> None:
        """Take the reason why there is none; without `call`, it was refused at once."""


class InferenceCall(BaseCall):
    """A job whose outcome goes to a caller."""

    __slots__ = ("_answers", "caller", "id", "typed")

    def __init__(
        self,
        caller: Responder,
        answers: ResponseEncoder,
        call_id: bytes,
        *,
        outputs: Sequence[str],
        input_bytes: int,
        key: Key | None,
        rows: int,
        timeout: float | None,
        typed: bool = False,
    ) -> None:
        super().__init__(
            outputs=outputs, input_bytes=input_bytes, key=key, rows=rows, timeout=timeout
        )
        self.caller = caller
        self.id = call_id
        self.typed = typed
        """Whether it wants typed contents, such as it sent."""
        self._answers = answers

    @property
    def shown_id(self) -> str:
        """The id as text: in a message that was not read, it may be none."""
        return self.id.decode("utf-8", "replace")

    def ran(self, run: BatchResult, start: int) -> None:
        """Answer with what belongs to this call."""
        try:
            message = self._answers.encode(
                run,
                start,
                self.rows,
                self.outputs,
                call_id=self.id,
                queued=self.queued,
                typed=self.typed,
                streamed=self.caller.streamed,
            )
        except Exception as error:  # noqa: BLE001 - `as_inference_error` knows which are ours
            self.failed(as_inference_error(error))
        else:
            self._answers.metrics.answered()
            self.caller.answered(self, message)

    def failed(self, error: InferenceError) -> None:
        """Answer with the reason."""
        self._answers.metrics.answered(error.code)
        self.caller.failed(self, self.shown_id, error)


class ParsedCall(InferenceCall):
    """A call whose message was read in full."""

    __slots__ = ("_feeds",)

    def __init__(
        self,
        caller: Responder,
        answers: ResponseEncoder,
        call_id: bytes,
        feeds: Feeds,
        *,
        outputs: Sequence[str],
        key: Key | None,
        rows: int,
        timeout: float | None,
        typed: bool,
    ) -> None:
        super().__init__(
            caller,
            answers,
            call_id,
            outputs=outputs,
            input_bytes=sum([array.nbytes for array in feeds.values()]),
            key=key,
            rows=rows,
            timeout=timeout,
            typed=typed,
        )
        self._feeds = feeds

    def feeds(self) -> Feeds:
        """Return its inputs."""
        return self._feeds


class RequestTemplate:
    """What the first call of a form was found to be, so that the others need not be read."""

    __slots__ = ("form", "input_bytes", "inputs", "key", "outputs", "rows", "timeout")

    def __init__(
        self, form: InferRequestTemplate, first: ParsedCall, timeout: float | None
    ) -> None:
        self.form = form
        self.inputs = [
            (name, array.dtype, array.size, array.shape, start, end)
            for (name, array), (start, end) in zip(first.feeds().items(), form.inputs, strict=True)
        ]
        self.input_bytes = first.input_bytes
        self.outputs = first.outputs
        self.key = first.key
        self.rows = first.rows
        self.timeout = timeout

    def feeds(self, message: bytes) -> Feeds:
        """Return the inputs in one message, as views of it."""
        return {
            name: np.frombuffer(message, dtype, count, start).reshape(shape)
            for name, dtype, count, shape, start, _ in self.inputs
        }

    def feeds_of(self, messages: Sequence[bytes]) -> Feeds:
        """Return the inputs in several messages, row behind row."""
        return {
            name: np.frombuffer(
                b"".join([message[start:end] for message in messages]), dtype
            ).reshape((-1, *shape[1:]))
            for name, dtype, _, shape, start, end in self.inputs
        }


class TemplatedCall(InferenceCall):
    """A call whose message was recognised."""

    __slots__ = ("kind", "message")

    def __init__(
        self,
        caller: Responder,
        answers: ResponseEncoder,
        kind: RequestTemplate,
        message: bytes,
        timeout: float | None,
    ) -> None:
        form = kind.form
        super().__init__(
            caller,
            answers,
            message[form.id_start : form.id_end],
            outputs=kind.outputs,
            input_bytes=kind.input_bytes,
            key=kind.key,
            rows=kind.rows,
            timeout=timeout,
        )
        self.kind = kind
        self.message = message

    def feeds(self) -> Feeds:
        """Return its inputs."""
        return self.kind.feeds(self.message)

    def feeds_with(self, jobs: Sequence[BaseCall]) -> Feeds:
        """Return the inputs of `jobs`: one array is made of all, where all are of one kind."""
        kind = self.kind
        messages = [job.message for job in jobs if type(job) is TemplatedCall and job.kind is kind]
        return kind.feeds_of(messages) if len(messages) == len(jobs) else super().feeds_with(jobs)
