"""Every error code means something on every transport."""

from __future__ import annotations

import grpc
import pytest

from gateway.web.advice import ADVICE
from gateway.web.problems import HTTP_STATUS, V2_STATUS
from protos.errors import ErrorCode
from protos.status import CODE_KEY, GRPC_STATUS, code_of, stream_failure


def test_every_code_has_a_grpc_status() -> None:
    assert set(GRPC_STATUS) == set(ErrorCode)
    known = {status.name for status in grpc.StatusCode}
    assert set(GRPC_STATUS.values()) < known - {"OK", "UNKNOWN"}


@pytest.mark.parametrize("table", [HTTP_STATUS, V2_STATUS], ids=["rest", "v2"])
def test_every_code_has_an_http_status(table: dict[ErrorCode, int]) -> None:
    assert set(table) == set(ErrorCode)
    assert all(400 <= status < 600 for status in table.values())


def test_every_code_says_what_it_means_and_what_to_do_next() -> None:
    assert set(ADVICE) == set(ErrorCode)
    for code in ErrorCode:
        for text in (code.meaning, ADVICE[code]):
            assert text[0] == "`" or text[0].isupper(), code
            assert text.endswith("."), code


def test_what_is_the_callers_fault_on_one_transport_is_so_on_the_other() -> None:
    ours = {"INTERNAL", "UNAVAILABLE", "DEADLINE_EXCEEDED", "UNIMPLEMENTED"}
    for code, status in GRPC_STATUS.items():
        if code is not ErrorCode.METHOD_NOT_ALLOWED:  # gRPC has one word for it and for 501
            assert (HTTP_STATUS[code] >= 500) == (status in ours), code


@pytest.mark.parametrize("code", ErrorCode)
def test_a_code_that_a_peer_names_is_the_code_it_meant(code: ErrorCode) -> None:
    assert code_of(GRPC_STATUS[code], str(code)) is code


@pytest.mark.parametrize("status", [each.name for each in grpc.StatusCode if each.value[0]])
@pytest.mark.parametrize("name", [None, "", "a_code_of_next_year"])
def test_a_status_alone_still_gives_a_code(status: str, name: str | None) -> None:
    code = code_of(status, name)
    assert GRPC_STATUS[code] in (status, "INTERNAL")


def test_codes_are_words_that_fit_a_header_and_a_path() -> None:
    for code in ErrorCode:
        assert code.replace("_", "").isalpha()
        assert code == code.lower() == code.name.lower()


def test_a_name_that_is_no_code_is_none() -> None:
    assert ErrorCode.known(None) is None
    assert ErrorCode.known("OVERLOADED") is None
    assert ErrorCode.known("overloaded") is ErrorCode.OVERLOADED


def test_a_failure_on_a_stream_carries_id_code_and_message() -> None:
    answer = stream_failure("7", ErrorCode.OVERLOADED, "too many calls")
    assert answer.error_message == "too many calls"
    assert answer.infer_response.id == "7"
    assert answer.infer_response.parameters[CODE_KEY].string_param == "overloaded"
