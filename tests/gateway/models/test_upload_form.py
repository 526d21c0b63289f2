"""Forms are parsed as they arrive, in whatever pieces."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.errors import GatewayError
from gateway.models.upload_form import FormSink
from protos.errors import ErrorCode

CONTENT_TYPE = "multipart/form-data; boundary=cut"
WEIGHTS = b"\r\n--cu\r\n--\r\n" * 5


def part(name: str, content: bytes, filename: str | None = None) -> bytes:
    file = f'; filename="{filename}"' if filename is not None else ""
    head = f'Content-Disposition: form-data; name="{name}"{file}\r\nX-Other: y\r\n\r\n'
    return b"--cut\r\n" + head.encode() + content + b"\r\n"


FORM = (
    part("name", "mödel".encode())
    + part("file", b"graph", "m.onnx")
    + part("data", WEIGHTS, "weights/w.bin")
    + part("other", b"ignored", "x")
    + part("version", b"7")
    + b"--cut--\r\n"
)


@given(st.lists(st.integers(0, len(FORM)), max_size=30))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_form_is_the_same_however_its_bytes_arrive(
    tmp_path_factory: pytest.TempPathFactory, places: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("form")
    sink = FormSink(folder, CONTENT_TYPE)
    ends = [0, *sorted(places), len(FORM)]
    for start, end in itertools.pairwise(ends):
        sink.write(FORM[start:end])
    sink.finish()
    sink.close()
    assert sink.fields == {"name": "mödel", "version": "7"}
    assert (folder / "model.onnx").read_bytes() == b"graph"
    assert (folder / "weights/w.bin").read_bytes() == WEIGHTS
    assert len(list(folder.rglob("*"))) == 3


MODEL = part("file", b"graph", "m.onnx")
REFUSED = {
    "no boundary at all": (b"what is this", "the form is malformed"),
    "an end that never comes": (MODEL, "it ends within a part"),
    "a file twice": (MODEL + MODEL + b"--cut--\r\n", "expected each file once"),
    "a file as a folder": (
        part("data", b"", "a") + part("data", b"", "a/b") + MODEL + b"--cut--\r\n",
        "expected each file once",
    ),
    "a long field": (part("name", bytes(2000)) + b"--cut--\r\n", "name: expected at most 1024"),
    "many parts": (part("x", b"") * 1001 + b"--cut--\r\n", "at most 1000 fields and files"),
    "no model": (part("name", b"x") + b"--cut--\r\n", "file: expected the .onnx file"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_forms_are_refused(tmp_path: Path, name: str) -> None:
    form, reason = REFUSED[name]
    sink = FormSink(tmp_path, CONTENT_TYPE)

    def parse() -> None:
        sink.write(form)
        sink.finish()

    with pytest.raises(GatewayError, match=reason) as caught:
        parse()
    sink.close()
    assert caught.value.code is ErrorCode.INVALID_REQUEST


def test_a_form_without_a_boundary_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GatewayError, match="boundary"):
        FormSink(tmp_path, "multipart/form-data")
