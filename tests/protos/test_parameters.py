"""Parameters of inference requests."""

from __future__ import annotations

import pytest

from protos import open_inference_pb2 as pb
from protos.parameters import SEQUENCE_ID, encoded_trace, sequence_id, split_trace, trace_of


def request(**parameter: object) -> pb.ModelInferRequest:
    """Return a request with a sequence_id of this kind."""
    made = pb.ModelInferRequest()
    for kind, value in parameter.items():
        setattr(made.parameters[SEQUENCE_ID], kind, value)
    return made


@pytest.mark.parametrize(
    ("parameter", "expected"),
    [
        ({}, None),
        ({"string_param": ""}, None),
        ({"int64_param": 0}, None),
        ({"string_param": "seven"}, "seven"),
        ({"string_param": "x" * 256}, "x" * 256),
        ({"int64_param": 7}, "7"),
        ({"uint64_param": 2**63}, str(2**63)),
    ],
)
def test_the_sequence_of_a_request(parameter: dict[str, object], expected: str | None) -> None:
    made = request(**parameter)
    assert sequence_id(made) == expected
    assert (SEQUENCE_ID in made.parameters) == bool(parameter), "it is not added"


@pytest.mark.parametrize(
    "parameter", [{"bool_param": True}, {"double_param": 7.0}, {"string_param": "x" * 257}]
)
def test_other_sequences_are_refused(parameter: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="parameter 'sequence_id': expected text of at most 256"):
        sequence_id(request(**parameter))


@pytest.mark.parametrize("state", [None, "a=b,c=d"])
def test_a_trace_is_appended_to_an_encoded_request(state: str | None) -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    headers = {"traceparent": parent, **({} if state is None else {"tracestate": state})}
    plain = request(string_param="seven").SerializeToString()
    message = plain + encoded_trace(headers)
    assert trace_of(pb.ModelInferRequest.FromString(message)) == (parent, state)
    rest, found = split_trace(message)
    assert found == parent
    assert rest.startswith(plain)
    assert split_trace(plain) == (plain, None)
    assert split_trace(message[-40:]) == (message[-40:], None)
