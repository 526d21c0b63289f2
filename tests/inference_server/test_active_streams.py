from __future__ import annotations

import time

from inference_server.data_plane.active_streams import ActiveStreams


def test_a_stream_that_sends_nothing_is_no_company() -> None:
    company, busy = ActiveStreams(), object()
    assert company.is_only(busy)
    assert company.is_only(busy)


def test_two_that_send_are_company_until_one_has_been_silent_for_a_while() -> None:
    company, first, second = ActiveStreams(), object(), object()
    assert company.is_only(first)
    assert not company.is_only(second)
    assert not company.is_only(first)
    time.sleep(0.06)
    assert company.is_only(first)


def test_who_has_left_is_no_company() -> None:
    company, first, second = ActiveStreams(), object(), object()
    assert company.is_only(first)
    company.left(first)
    assert company.is_only(second)
