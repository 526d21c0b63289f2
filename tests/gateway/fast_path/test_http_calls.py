"""One request after the other on the fast path: bodies, targets, headers, limits, failures."""

from __future__ import annotations

import asyncio
import contextlib

import orjson
import pytest
from structlog.testing import capture_logs

from gateway.fast_path import connection_timeouts
from tests.gateway.fast_path.calls import LIMIT, Call, echo_of
from tests.gateway.fast_path.client import Client, chunked, post
from tests.gateway.fast_path.conftest import Served
from tests.timing import TIMEOUT_SECONDS, Timer

ECHO = b"/direct/echo"
MUCH = 64 * 2**20
"""Bytes that would not fit into the kernel's buffers."""


async def test_a_request_is_answered_and_its_connection_kept(
    client: Client, served: Served
) -> None:
    for number in range(5):
        answer = await client.asked(post(ECHO, b"body %d" % number))
        assert answer.status == 200
        assert answer.body == echo_of(ECHO, b"body %d" % number)
        assert b"connection" not in answer.headers
    other = await client.asked(post(b"/asgi/echo", b"on the same connection"))
    assert other.body == echo_of(b"/asgi/echo", b"on the same connection")
    assert (await client.asked(post(ECHO))).body == echo_of(ECHO, b"")
    assert served.server.server_state.total_requests == 7


async def test_other_methods_and_paths_take_uvicorns_way(client: Client, served: Served) -> None:
    for request in (
        post(ECHO).replace(b"POST", b"PUT"),
        post(b"/direct"),
        post(b"/DIRECT/echo"),
        post(b"/x/direct/echo"),
        post(b"/?/direct/echo"),
    ):
        assert (await client.asked(request)).status == 200
    assert served.route.opened.empty()
    served.application.fast_route = None
    assert (await client.asked(post(ECHO))).status == 200
    assert served.route.opened.empty()


async def test_a_body_may_come_byte_by_byte(client: Client) -> None:
    client.writer.transport.set_write_buffer_limits(0)
    request = post(ECHO, b"slowly") + chunked(ECHO, b"and", b"in chunks")
    for index in range(len(request)):
        client.send(request[index : index + 1])
        await client.writer.drain()
        await asyncio.sleep(0)
    assert (await client.answer()).body == echo_of(ECHO, b"slowly")
    assert (await client.answer()).body == echo_of(ECHO, b"andin chunks")


async def test_a_chunked_body_is_joined_and_its_trailers_are_no_headers(
    client: Client, served: Served
) -> None:
    client.send(
        chunked(ECHO, b"a" * 5000, b"b" * 70_000, trailers=b"x-request-id: trailer\r\n"),
        post(ECHO),
    )
    assert (await client.answer()).body == echo_of(ECHO, b"a" * 5000 + b"b" * 70_000)
    assert (await client.answer()).status == 200
    for _ in range(2):
        head = served.route.opened.get_nowait().head
        assert b"x-request-id" not in head.headers
        assert dict(head.lines) == head.headers


@pytest.mark.parametrize(
    ("target", "path", "url"),
    [
        (b"/direct/a%2Fb%C3%BC/echo", "/direct/a/bü/echo", b"/direct/a%2Fb%C3%BC/echo"),
        (b"/direct/%ff/echo?x=%25&/y", "/direct/\ufffd/echo", b"/direct/%ff/echo?x=%25&/y"),
        (b"/direct/echo?", "/direct/echo", b"/direct/echo?"),
        (b"/%64irect/echo", "/direct/echo", b"/%64irect/echo"),
        (b"/direct%2Fecho", "/direct/echo", b"/direct%2Fecho"),
        (b"http://other.example:80/direct/echo?q=1", "/direct/echo", b"/direct/echo?q=1"),
    ],
)
async def test_a_target_is_found_in_every_spelling(
    client: Client, served: Served, target: bytes, path: str, url: bytes
) -> None:
    answer = await client.asked(post(target, b"!"))
    assert answer.body == echo_of(url, b"!")
    assert served.route.opened.get_nowait().head.path == path


async def test_headers_are_known_by_lower_case_names_and_the_last_of_a_name_counts(
    client: Client, served: Served
) -> None:
    await client.asked(post(ECHO, b"", b"X-Key: first", b"x-KEY:   second \t", b"Empty:"))
    headers = served.route.opened.get_nowait().head.headers
    assert headers[b"x-key"].strip() == b"second"
    assert headers[b"empty"] == b""


async def test_a_length_over_the_limit_is_refused_before_the_body_comes(
    client: Client, served: Served
) -> None:
    head = post(ECHO).replace(b"content-length: 0", b"content-length: %d" % (LIMIT + 1))
    answer = await client.asked(head)
    assert (answer.status, answer.body, answer.closes) == (413, b"payload_too_large", True)
    call = served.route.opened.get_nowait()
    client.send(bytes(LIMIT + 1), post(ECHO, b"next"))  # what is sent still is no request
    assert await client.rest() == b""
    assert len(call.errors) == 1
    assert call.body is None
    assert served.route.opened.empty()
    other = await served.client()
    assert (await other.asked(post(ECHO, bytes(LIMIT)))).status == 200


async def test_a_body_that_grows_over_the_limit_is_refused_before_its_end(
    client: Client, served: Served
) -> None:
    whole = chunked(ECHO, *[bytes(LIMIT // 2)] * 3)
    client.send(whole[:-1000])
    answer = await client.answer()
    assert (answer.status, answer.closes) == (413, True)
    call = served.route.opened.get_nowait()
    client.send(whole[-1000:], post(ECHO, b"next"))
    assert await client.rest() == b""
    assert len(call.errors) == 1
    assert call.losses == 0
    assert served.route.opened.empty()


async def test_a_limit_is_reported_on_a_connection_that_closes_after_its_request(
    client: Client,
) -> None:
    body = bytes(8 * LIMIT)
    client.send(post(ECHO, body, b"connection: close"))
    await client.writer.drain()
    answer = await client.answer()  # closed before it was read, it would have been lost
    assert (answer.status, answer.closes) == (413, True)
    assert await client.rest() == b""


async def test_the_rest_of_a_small_body_is_read_and_the_connection_kept(client: Client) -> None:
    request = post(b"/direct/early", b"a body in two parts")
    client.send(request[:-10])
    answer = await client.answer()
    assert (answer.status, answer.closes) == (401, False)
    client.send(request[-10:], post(ECHO, b"next"))
    assert (await client.answer()).body == echo_of(ECHO, b"next")


@pytest.mark.parametrize("target", [b"/direct/early", b"/asgi/early"])
async def test_an_endless_body_is_not_read_on_behind_its_response(
    client: Client, served: Served, target: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_timeouts, "_LINGER_SECONDS", 0.3)
    client.send(chunked(target, b"x" * 1000)[:-5])
    answer = await client.answer()
    assert (answer.status, answer.closes) == (401, True)
    client.writer.transport.set_write_buffer_limits(0)
    sent = 0
    with contextlib.suppress(ConnectionError):
        while sent < MUCH:
            client.send(b"ffff\r\n%b\r\n" % bytes(2**16 - 1))
            sent += 2**16
            await client.writer.drain()
    assert sent < MUCH
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while served.server.server_state.connections:  # noqa: ASYNC110 - uvicorn's own set
            await asyncio.sleep(0.01)


async def test_a_large_body_is_not_read_before_its_sender_is_known(served: Served) -> None:
    served.route.max_body_bytes = MUCH
    client = await served.client()
    client.send(post(b"/direct/unknown", bytes(MUCH)))
    call = await served.route.opened.get()
    (connection,) = served.server.server_state.connections
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while not connection.flow.read_paused:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.005)
    assert call._size < 2**20
    call.accepts_body = True
    connection.resume_reading()
    assert len((await client.answer()).body) > MUCH


async def test_a_connection_whose_client_reads_its_response_closes_at_once(
    client: Client, served: Served
) -> None:
    client.send(chunked(b"/direct/early", b"x")[:-5])
    assert (await client.answer()).closes
    assert await client.rest() == b""
    timer = Timer()
    await client.close()
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while served.server.server_state.connections:  # noqa: ASYNC110 - uvicorn's own set
            await asyncio.sleep(0.01)
    assert timer.seconds < 1.5, "it does not wait for what will not come"


async def test_a_body_behind_an_early_response_is_not_parsed_as_a_request(
    client: Client, served: Served
) -> None:
    request = post(b"/direct/early", post(ECHO), b"connection: close")
    client.send(request[:-20])
    answer = await client.answer()
    assert (answer.status, answer.closes) == (401, True)
    client.send(request[-20:], post(ECHO))
    assert await client.rest() == b""
    assert served.route.opened.qsize() == 1
    assert served.route.opened.get_nowait().body is None


async def test_a_client_that_expects_100_continue_gets_it(client: Client) -> None:
    for body in (b"asked for", b""):
        client.send(post(ECHO, body, b"Expect: 100-Continue")[: -len(body) or None])
        if body:
            assert (await client.answer()).status == 100
            client.send(body)
        elif (await client.answer()).status == 100:
            pass  # with nothing to ask for, it may be sent or not
        assert (await client.answer()).body == echo_of(ECHO, body)


async def test_a_refused_expectation_closes_the_connection(client: Client) -> None:
    length = b"content-length: %d" % (LIMIT + 1)
    head = post(ECHO, b"", b"expect: 100-continue").replace(b"content-length: 0", length)
    answer = await client.asked(head)
    # it may send the body or leave it out: the next request could not be told from it
    assert (answer.status, answer.closes) == (413, True)
    assert await client.rest() == b""


async def test_an_early_answer_does_not_ask_for_the_body(client: Client) -> None:
    request = post(b"/direct/early", b"body", b"expect: 100-continue")
    answer = await client.asked(request[:-4])
    assert (answer.status, answer.closes) == (401, True)
    assert await client.rest() == b""


@pytest.mark.parametrize("more", [(), (b"connection: keep-alive",), (b"expect: 100-continue",)])
async def test_http_1_0_is_answered_and_closed(client: Client, more: tuple[bytes, ...]) -> None:
    answer = await client.asked(post(ECHO, b"old", *more, version=b"1.0"))
    assert (answer.status, answer.body) == (200, echo_of(ECHO, b"old"))
    assert answer.closes
    assert await client.rest() == b""


async def test_a_connection_is_closed_after_the_answer_where_the_client_says_so(
    client: Client, served: Served
) -> None:
    client.send(post(ECHO, b"last", b"Connection: Close"), post(ECHO), post(b"/asgi/wait"))
    answer = await client.answer()
    assert (answer.body, answer.closes) == (echo_of(ECHO, b"last"), True)
    assert await client.rest() == b""
    assert served.route.opened.qsize() == 1, "what comes after the last request must not run"
    assert served.application.waiting.empty()


async def test_a_large_answer_reaches_a_slow_reader_whole(served: Served) -> None:
    client = await served.client()
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]
    client.send(post(b"/direct/large"), post(b"/direct/large", b"", b"connection: close"))
    await served.route.opened.get()
    client.writer.transport.resume_reading()  # type: ignore[attr-defined]
    for _ in range(2):
        assert (await client.answer()).body == bytes(1_000_000)
    assert await client.rest() == b""


@pytest.mark.parametrize("kind", [b"headers", b"complete", b"error"])
async def test_a_handler_that_raises_is_answered_with_500(
    client: Client, served: Served, kind: bytes
) -> None:
    body = bytes(LIMIT + 1) if kind == b"error" else b""
    with capture_logs() as logs:
        answer = await client.asked(post(b"/direct/" + kind, body))
    assert answer.status == 500
    problem = orjson.loads(answer.body)
    assert problem["code"] == "internal"
    (line,) = logs
    assert (line["event"], line["request_id"]) == ("request_failed", problem["request_id"])
    assert "the handler fails" not in answer.body.decode()
    assert str(line["exc_info"]) == f"the handler fails in {kind.decode()}"
    if answer.closes:  # for its unread body
        client = await served.client()
    assert (await client.asked(post(ECHO, b"next"))).body == echo_of(ECHO, b"next")


async def test_a_handler_that_raises_affects_no_other_call_of_its_connection(
    client: Client, served: Served
) -> None:
    wait = b"/direct/wait"
    client.send(post(wait, b"1"), post(b"/direct/complete"), post(b"/direct/headers"), post(wait))
    first: Call = await served.route.waiting.get()
    first.echo()  # begins the next ones: what those raise must not come out here
    assert [(await client.answer()).status for _ in range(3)] == [200, 500, 500]
    (await served.route.waiting.get()).echo()
    assert (await client.answer()).status == 200


async def test_only_the_first_answer_counts(client: Client, served: Served) -> None:
    client.send(post(b"/direct/wait", b"1"))
    call = await served.route.waiting.get()
    call.echo()
    call.answer(500, b"again")
    assert (await client.answer()).status == 200
    assert (await client.asked(post(ECHO, b"2"))).body == echo_of(ECHO, b"2")


async def test_a_clients_offer_to_upgrade_is_ignored(client: Client, served: Served) -> None:
    offer = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk")
    hidden = post(b"/direct/echo/hidden")
    for target in (ECHO, b"/asgi/echo"):
        request = post(target, hidden, *offer)
        split = len(request) - len(hidden)
        client.send(request[:split])
        await client.writer.drain()
        client.send(request[split:], request, request, post(ECHO, b"next"))
        for _ in range(3):
            assert (await client.answer()).body == echo_of(target, hidden)
        assert (await client.answer()).body == echo_of(ECHO, b"next")
    assert served.route.opened.qsize() == 5
