"""API keys as text, and the pepper."""

from __future__ import annotations

import hashlib
import multiprocessing
import re
import stat
import tomllib
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.auth.keys import (
    KEY_LENGTH,
    KeyHasher,
    checksum,
    format_errors,
    generate_key,
    is_well_formed,
    mask,
)
from gateway.auth.pepper import load_pepper
from gateway.errors import StorageError

VECTOR = "sk-EuT64aB3dE6fG7hJ8kL9mN0pQ1rS2tU3vW4xY5zZ3vsQa1"
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def test_the_documented_key_is_well_formed_and_masked_as_documented() -> None:
    assert is_well_formed(VECTOR)
    assert checksum(VECTOR[:-6]) == VECTOR[-6:]
    assert mask(VECTOR[:8], VECTOR[-5:]) == "sk-EuT64********vsQa1"


def test_generated_keys_are_well_formed_and_differ() -> None:
    minted = {generate_key() for _ in range(200)}
    assert len(minted) == 200
    assert all(is_well_formed(key) and len(key) == KEY_LENGTH for key in minted)


@given(position=st.integers(3, KEY_LENGTH - 1), character=st.sampled_from(ALPHABET))
def test_one_wrong_character_is_noticed(position: int, character: str) -> None:
    changed = VECTOR[:position] + character + VECTOR[position + 1 :]
    assert is_well_formed(changed) == (changed == VECTOR)


@given(st.text() | st.text(alphabet=ALPHABET, min_size=46, max_size=46).map("sk-{}".format))
def test_any_text_is_checked_without_an_exception(text: str) -> None:
    assert is_well_formed(text) in (True, False)
    assert not is_well_formed(mask(VECTOR[:8], VECTOR[-5:]))


@given(st.text() | st.text(alphabet=ALPHABET, min_size=46, max_size=46).map("sk-{}".format))
def test_format_errors_are_empty_for_well_formed_keys_only(text: str) -> None:
    assert (format_errors(text) == []) == is_well_formed(text)
    assert format_errors(VECTOR) == []


FAULTS = {
    VECTOR[:-1]: ["length: expected 49 characters, got 48"],
    VECTOR[:-1] + "b": ["checksum"],
    VECTOR[:9] + VECTOR[10] + VECTOR[9] + VECTOR[11:]: ["checksum"],
    "pk-" + VECTOR[3:]: ["prefix", "alphabet: expected 0-9, A-Z and a-z, got others at 3"],
    VECTOR[:20] + "_" + VECTOR[21:]: ["alphabet: expected 0-9, A-Z and a-z, got others at 21"],
    VECTOR[:20] + "_é" + VECTOR[22:]: ["alphabet: expected 0-9, A-Z and a-z, got others at 21 and"],
    mask(VECTOR[:8], VECTOR[-5:]): ["it is the mask of a key"],
    "": ["prefix", "length: expected 49 characters, got 0"],
}


@pytest.mark.parametrize("key", FAULTS)
def test_format_errors_do_not_reveal_the_key(key: str) -> None:
    found = format_errors(key)
    assert len(found) == len(FAULTS[key])
    for said, expected in zip(found, FAULTS[key], strict=True):
        assert said.startswith(expected)
        assert VECTOR[3:10] not in said


PAGE = (Path(__file__).parents[3] / "docs" / "keys.md").read_text()


@pytest.mark.parametrize("text", ["{}", "key={}", '"{}",', "a {}\n", "/{}?"])
def test_the_documented_patterns_find_keys_and_no_masks(text: str) -> None:
    (plain,) = re.findall(r"```regex\n(.+)\n```", PAGE)
    (rule,) = tomllib.loads(re.findall(r"```toml\n(.+?)```", PAGE, re.DOTALL)[0])["rules"]
    before, after = (
        re.search(rf"{side} secret \| `(.+)`", PAGE)[1].replace("\\|", "|")
        for side in ("Before", "After")
    )
    github = f"(?:{before})({plain})(?:{after})".replace(r"\z", r"\Z")
    for key in (VECTOR, generate_key()):
        for pattern in (f"({plain})", rule["regex"], github):
            assert re.findall(pattern, text.format(key)) == [key], pattern
            assert not re.findall(pattern, text.format(mask(key[:8], key[-5:])))
    assert not re.findall(rule["regex"], text.format(f"{VECTOR}7"))
    assert VECTOR in PAGE


@given(st.integers(0, 2**32 - 1))
def test_checksums_are_six_base62_digits_of_the_crc(value: int) -> None:
    body = f"sk-{value}"
    digits = checksum(body)
    number = 0
    for digit in digits:
        number = number * 62 + ALPHABET.index(digit)
    assert len(digits) == 6
    assert number == zlib.crc32(body.encode())


@given(st.binary(min_size=1, max_size=200), st.text(alphabet=ALPHABET))
def test_the_hash_is_keyed_blake2b(pepper: bytes, key: str) -> None:
    short = pepper if len(pepper) <= 64 else hashlib.blake2b(pepper).digest()
    expected = hashlib.blake2b(key.encode(), key=short, digest_size=32).digest()
    assert KeyHasher(pepper).digest(key) == expected


def test_the_pepper_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    made = load_pepper(None, tmp_path / "state")
    file = tmp_path / "state" / "pepper"
    assert load_pepper(None, tmp_path / "state") == made == file.read_bytes()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.iterdir()] == ["pepper"]


def test_processes_that_make_the_pepper_at_once_agree(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        made = pool.starmap(load_pepper, [(None, tmp_path)] * 8)
    assert len(set(made)) == 1


def test_a_given_pepper_is_used_and_a_short_one_refused(tmp_path: Path) -> None:
    assert load_pepper("sixteen or more bytes", tmp_path) == b"sixteen or more bytes"
    with pytest.raises(StorageError, match="SLIPSTREAM_KEY_PEPPER: expected at least 16"):
        load_pepper("short", tmp_path)


def test_an_empty_pepper_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pepper").touch()
    with pytest.raises(StorageError, match="expected at least 16 bytes, got 0"):
        load_pepper(None, tmp_path)


def test_a_state_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    with pytest.raises(StorageError, match="state/pepper cannot be used"):
        load_pepper(None, tmp_path / "state")
