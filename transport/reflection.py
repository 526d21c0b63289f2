"""The grpc.reflection.v1alpha service: describes a server's services and messages."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError

from transport.router import Router
from transport.server_streams import StreamCall
from transport.status import RpcError, StatusCode

REFLECTION = "grpc.reflection.v1alpha.ServerReflection"


def add_reflection(
    router: Router, services: Sequence[str], files: Sequence[FileDescriptor]
) -> None:
    """Register reflection of `services`, whose messages `files` describe."""
    factory = partial(_ReflectionCall, services=services, files=files)
    router.stream(f"/{REFLECTION}/ServerReflectionInfo", factory)


class _ReflectionCall:
    """One call of the reflection service.

    grpcio-reflection answers. It is imported at the first call, because it imports grpc, which
    nothing else in the process needs. It gets its own descriptor pool: the files are not in
    protobuf's default pool.
    """

    def __init__(
        self, call: StreamCall, *, services: Sequence[str], files: Sequence[FileDescriptor]
    ) -> None:
        self._call = call
        # Any: grpc-reflection is published without types
        self._servicer: Any = _servicer(services, files)

    def messages(self, messages: list[bytes]) -> None:
        """Answer each request."""
        from grpc_reflection.v1alpha import reflection_pb2  # noqa: PLC0415 - see the class

        try:
            requests = [reflection_pb2.ServerReflectionRequest.FromString(raw) for raw in messages]
        except DecodeError:
            raise RpcError(StatusCode.INVALID_ARGUMENT, "invalid ServerReflectionRequest") from None
        for response in self._servicer.ServerReflectionInfo(iter(requests), None):
            self._call.send(response.SerializeToString())

    def half_closed(self) -> None:
        """End the call: every request is answered."""
        self._call.finish()

    def cancelled(self) -> None:
        """Do nothing: there is no state to release."""


def _servicer(services: Sequence[str], files: Sequence[FileDescriptor]) -> Any:
    from grpc_reflection.v1alpha import reflection  # noqa: PLC0415 - see the class

    pool = DescriptorPool()
    for file in files:
        pool.AddSerializedFile(file.serialized_pb)
    return reflection.ReflectionServicer((*services, REFLECTION), pool=pool)
