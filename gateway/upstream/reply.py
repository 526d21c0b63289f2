"""An inference server's answer, as it came: recognised by its form, or read by protobuf."""

from __future__ import annotations

from gateway.errors import GatewayError
from protos import open_inference_pb2 as pb
from protos.datatypes import get_datatype
from protos.errors import ErrorCode
from protos.message_templates import InferResponseTemplate
from protos.tensors import decode_contents, encode_raw


class InferenceReply:
    """One answer of a stream, in whichever of two ways it is wanted."""

    __slots__ = ("_form", "_message", "_response")

    def __init__(
        self,
        message: bytes,
        form: InferResponseTemplate | None = None,
        response: pb.ModelInferResponse | None = None,
    ) -> None:
        """Keep an encoded ModelStreamInferResponse with its form, or with what it was read as."""
        self._message = message
        self._form = form
        self._response = response

    def formed(self) -> tuple[InferResponseTemplate, bytes]:
        """Return the answer as a message and its form, which tells where the tensors lie.

        Raises:
            GatewayError: INFERENCE_FAILED where there is no output.
            TensorError: typed contents do not fit their shape.
        """
        if self._form is None:
            assert self._response is not None, "a reply has a form, or was read"
            response = _with_raw_contents(self._response)
            form = InferResponseTemplate.from_message(response, streamed=True)
            if form is None:
                message = "the inference server's answer has no outputs, or not the bytes of each"
                raise GatewayError(ErrorCode.INFERENCE_FAILED, message)
            self._form, self._message = form, form.render(form.slot_values(response))
        return self._form, self._message

    def seconds(self) -> tuple[float, float]:
        """Return what the server says of its time: in the queue, and in ONNX Runtime."""
        form, message = self.formed()
        return form.timings(message)

    def response(self) -> pb.ModelInferResponse:
        """Return the answer as protobuf's object."""
        if self._response is None:
            self._response = pb.ModelStreamInferResponse.FromString(self._message).infer_response
        return self._response


def _with_raw_contents(response: pb.ModelInferResponse) -> pb.ModelInferResponse:
    """Return `response` with its typed contents, which strangers may send, as raw ones."""
    if response.raw_output_contents:
        return response
    for output in response.outputs:
        datatype = get_datatype(output.datatype, tensor=output.name)
        array = decode_contents(output.contents, datatype, output.shape, tensor=output.name)
        response.raw_output_contents.append(encode_raw(array, datatype))
        output.ClearField("contents")
    return response
