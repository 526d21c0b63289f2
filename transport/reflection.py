"""grpc.reflection.v1alpha for a server: its services, and their messages."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError

from transport.router import Router, StreamCall
from transport.status import RpcError, StatusCode

REFLECTION = "grpc.reflection.v1alpha.ServerReflection"


def add_reflection(
    router: Router, services: Sequence[str], files: Sequence[FileDescriptor]
) -> None:
    """Let `router` tell who asks of `services`, whose messages are described in `files`."""
    show = partial(_Reflection, services=services, files=files)
    router.stream(f"/{REFLECTION}/ServerReflectionInfo", show)


class _Reflection:
    """One call of the reflection service.

    grpc's own implementation answers; it and grpc are imported when somebody first asks, since
    nothing else needs them. It gets a pool of its own, as the files may not be in the default one.
    """

    def __init__(
        self, call: StreamCall, *, services: Sequence[str], files: Sequence[FileDescriptor]
    ) -> None:
        self._call = call
        # Any: grpc-reflection is published without types
        self._servicer: Any = _servicer(services, files)

    def messages(self, messages: list[bytes]) -> None:
        """Answer each question."""
        from grpc_reflection.v1alpha import reflection_pb2  # noqa: PLC0415 - see the class

        try:
            questions = [reflection_pb2.ServerReflectionRequest.FromString(raw) for raw in messages]
        except DecodeError:
            raise RpcError(StatusCode.INVALID_ARGUMENT, "the request is no such message") from None
        for answer in self._servicer.ServerReflectionInfo(iter(questions), None):
            self._call.send(answer.SerializeToString())

    def half_closed(self) -> None:
        """End: every question is answered."""
        self._call.finish()

    def cancelled(self) -> None:
        """Nothing is kept."""


def _servicer(services: Sequence[str], files: Sequence[FileDescriptor]) -> Any:
    from grpc_reflection.v1alpha import reflection  # noqa: PLC0415 - see the class

    pool = DescriptorPool()
    for file in files:
        pool.AddSerializedFile(file.serialized_pb)
    return reflection.ReflectionServicer((*services, REFLECTION), pool=pool)
