"""Which clients a server polls for."""

from __future__ import annotations

from inference_server.data_plane.busy_poll import ActiveStreams, ArrivalRate

SPIN = 0.001


def test_an_open_stream_that_sends_nothing_is_not_active() -> None:
    streams, busy = ActiveStreams(), object()
    assert streams.is_sole(busy, 10.0)
    assert streams.is_sole(busy, 10.01)


def test_no_stream_is_sole_until_the_other_has_been_silent_for_a_while() -> None:
    streams, first, second = ActiveStreams(), object(), object()
    assert streams.is_sole(first, 10.0)
    assert not streams.is_sole(second, 10.0)
    assert not streams.is_sole(first, 10.01)
    assert streams.is_sole(first, 10.07)


def test_a_stream_that_has_ended_is_not_active() -> None:
    streams, first, second = ActiveStreams(), object(), object()
    assert streams.is_sole(first, 10.0)
    streams.remove(first)
    assert streams.is_sole(second, 10.0)


def test_a_client_is_in_a_tight_loop_after_some_short_pauses() -> None:
    rate, now = ArrivalRate(SPIN), 10.0
    assert not rate.is_tight_loop(now)
    verdicts = []
    for _ in range(40):
        now += SPIN / 10
        rate.record_arrival(1, now)
        verdicts.append(rate.is_tight_loop(now))
    assert not verdicts[0]
    assert verdicts[-1]


def test_several_messages_at_once_count_as_a_long_pause() -> None:
    rate, now = ArrivalRate(SPIN), 10.0
    for _ in range(40):
        now += SPIN / 10
        rate.record_arrival(1, now)
        tight = rate.is_tight_loop(now)
    assert tight
    for _ in range(40):
        rate.record_arrival(8, now)
    assert not rate.is_tight_loop(now)


def test_no_client_is_polled_for_if_that_is_switched_off() -> None:
    rate = ArrivalRate(0.0)
    for _ in range(100):
        rate.record_arrival(1, 10.0)
        assert not rate.is_tight_loop(10.0)
