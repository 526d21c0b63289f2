"""Names, versions, labels and locations of external data."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_store import names
from model_store.errors import StoreError
from protos.errors import ErrorCode


@pytest.mark.parametrize("name", ["iris", "a", "Iris-2.1_final", "0", "x" * 128])
def test_plain_names_pass(name: str) -> None:
    assert names.check_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", ".staging", "a/b", "a..b", "/etc", "a\\b", "a b", "é", "x" * 129, "a\n", "-a"],
)
def test_names_that_could_escape_a_folder_are_refused(name: str) -> None:
    with pytest.raises(StoreError) as refusal:
        names.check_name(name)
    assert refusal.value.code is ErrorCode.INVALID_REQUEST


@pytest.mark.parametrize("text", ["0", "03", "-1", "+1", "1.0", "", "one", "٣", "1\n", "9" * 19])
def test_a_version_has_one_spelling(text: str) -> None:
    with pytest.raises(StoreError):
        names.parse_version(text)


@pytest.mark.parametrize("label", ["latest", "3", "٣", "", "a/b", "..", ".x"])
def test_labels_cannot_be_taken_for_versions_or_paths(label: str) -> None:
    with pytest.raises(StoreError):
        names.check_label(label)


@pytest.mark.parametrize(
    ("location", "plain"),
    [("w.bin", "w.bin"), ("./w.bin", "w.bin"), ("a//b/w 1.bin", "a/b/w 1.bin"), ("ä", "ä")],
)
def test_plain_locations_pass(location: str, plain: str) -> None:
    assert str(names.check_location(location)) == plain


@given(st.text())
def test_no_location_leads_out_of_the_folder(location: str) -> None:
    try:
        path = names.check_location(location)
    except StoreError:
        return
    assert path.parts
    assert not path.is_absolute()
    assert not {"..", ".", ""} & set(path.parts)
