"""The broker in a folder."""

from __future__ import annotations

import stat
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection
from kombu.asynchronous import Hub
from kombu.exceptions import ChannelError
from kombu.simple import SimpleQueue

from tests.timing import TIMEOUT_SECONDS

TRANSPORT = "gateway.broker.folder_transport:Transport"

READER = """
import sys
from kombu import Connection
from kombu.asynchronous import Hub
transport, options = "gateway.broker.folder_transport:Transport", {"folder": sys.argv[1]}
with Connection("x://", transport=transport, transport_options=options) as c:
    queue = c.SimpleQueue("work")
    print("ready", flush=True)
    while True:
        try:
            message = queue.get(timeout=60)
        except queue.Empty:  # the transport gives up after 0.2 s without a message
            continue
        message.ack()
        if message.payload == "end":
            break
        print(message.payload, flush=True)
"""


@contextmanager
def connected(folder: Path) -> Iterator[Connection]:
    options = {"folder": str(folder)}
    with Connection("x://", transport=TRANSPORT, transport_options=options) as connection:
        yield connection


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    with connected(tmp_path / "broker") as opened:
        yield opened


def taken(queue: SimpleQueue) -> list[Any]:
    messages = []
    try:
        while True:
            message = queue.get(timeout=0.05)
            messages.append(message.payload)
            message.ack()
    except queue.Empty:
        return messages


def test_messages_arrive_in_the_order_of_sending(connection: Connection) -> None:
    queue = connection.SimpleQueue("work")
    for number in range(100):
        queue.put(number)
    assert queue.qsize() == 100
    assert taken(queue) == list(range(100))
    assert queue.qsize() == 0


def test_messages_wait_for_a_later_reader(tmp_path: Path) -> None:
    with connected(tmp_path / "broker") as first:
        first.SimpleQueue("work").put("hello")
    with connected(tmp_path / "broker") as second:
        assert taken(second.SimpleQueue("work")) == ["hello"]


def put_together(connection: Connection, queue: str, messages: Iterable[object]) -> None:
    producer = connection.Producer()
    with producer.batch():
        for message in messages:
            producer.publish(message, routing_key=queue)


def test_messages_that_are_sent_together_share_files(
    tmp_path: Path, connection: Connection
) -> None:
    one, other = connection.SimpleQueue("work.one"), connection.SimpleQueue("work.two")
    one.put("before")
    put_together(connection, "work.one", range(40))
    put_together(connection, "work.two", ["alone"])
    one.put("after")
    assert len(list((tmp_path / "broker" / "work.one").iterdir())) == 5
    assert (one.qsize(), other.qsize()) == (42, 1)
    assert taken(one) == ["before", *range(40), "after"]
    assert taken(other) == ["alone"]
    put_together(connection, "work.one", range(40))
    assert one.clear() == 40
    assert one.qsize() == 0


def test_a_batch_that_fails_sends_nothing(connection: Connection) -> None:
    queue = connection.SimpleQueue("work")
    with pytest.raises(ZeroDivisionError):
        put_together(connection, "work", (1 // (2 - number) for number in range(5)))
    assert queue.qsize() == 0


def test_what_a_reader_has_not_delivered_keeps_its_place_when_it_closes(tmp_path: Path) -> None:
    with connected(tmp_path / "broker") as first:
        queue = first.SimpleQueue("work")
        put_together(first, "work", range(5))
        queue.put("later")
        for number in range(2):
            message = queue.get(timeout=TIMEOUT_SECONDS)
            assert message.payload == number
            message.ack()
    with connected(tmp_path / "broker") as second:
        queue = second.SimpleQueue("work")
        assert queue.qsize() == 4
        assert taken(queue) == [2, 3, 4, "later"]


def test_what_cannot_be_put_back_now_is_put_back_when_it_can(
    tmp_path: Path, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.broker.folder_transport._HOLD_SECONDS", 0.0)
    put_together(connection, "work", range(3))
    folder = tmp_path / "broker" / "work"
    hub = Hub()
    with connected(tmp_path / "broker") as reader:
        reader.transport.register_with_event_loop(reader.connection, hub)
        message = reader.SimpleQueue("work").get(timeout=TIMEOUT_SECONDS)
        message.ack()
        folder.rename(tmp_path / "away")
        folder.touch()
        hub.fire_timers()
        folder.unlink()
        (tmp_path / "away").rename(folder)
        assert connection.SimpleQueue("work").qsize() == 0
        hub.fire_timers()
        assert taken(connection.SimpleQueue("work")) == [1, 2]
    hub.close()


def test_a_file_of_an_earlier_release_is_one_message(
    tmp_path: Path, connection: Connection
) -> None:
    queue = connection.SimpleQueue("work")
    queue.put("hello")
    (file,) = (tmp_path / "broker" / "work").iterdir()
    assert file.name.endswith("-1")
    file.rename(file.with_name(file.name.removesuffix("-1")))
    assert queue.qsize() == 1
    assert taken(queue) == ["hello"]


def test_queues_are_independent(connection: Connection) -> None:
    one, other = connection.SimpleQueue("work.one"), connection.SimpleQueue("work.two")
    one.put(1)
    other.put(2)
    assert taken(one) == [1]
    assert other.clear() == 1
    assert taken(other) == []


def test_an_unacknowledged_message_is_put_back_when_the_reader_closes(tmp_path: Path) -> None:
    with connected(tmp_path / "broker") as first:
        queue = first.SimpleQueue("work")
        queue.put("kept")
        queue.get(timeout=TIMEOUT_SECONDS)
    with connected(tmp_path / "broker") as second:
        assert taken(second.SimpleQueue("work")) == ["kept"]


def test_only_the_owner_can_read_messages(tmp_path: Path, connection: Connection) -> None:
    connection.SimpleQueue("work").put("secret")
    for folder in (tmp_path / "broker", tmp_path / "broker" / "work"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_queue_whose_folder_was_removed_is_created_again(
    tmp_path: Path, connection: Connection
) -> None:
    queue = connection.SimpleQueue("work")
    (tmp_path / "broker" / "work").rmdir()
    assert taken(queue) == []
    queue.put("again")
    assert taken(queue) == ["again"]


def test_an_incomplete_message_is_not_delivered(tmp_path: Path, connection: Connection) -> None:
    queue = connection.SimpleQueue("work")
    (tmp_path / "broker" / "work" / ".00000-1-1").write_text('{"body": "ha')
    queue.put("whole")
    assert taken(queue) == ["whole"]


@pytest.mark.parametrize("name", ["../out", ".hidden", "a/b"])
def test_a_queue_stays_in_its_folder(connection: Connection, name: str) -> None:
    with pytest.raises(ChannelError):
        connection.SimpleQueue(name)


@pytest.mark.processes
def test_each_message_has_exactly_one_of_several_readers(tmp_path: Path) -> None:
    count = 2000
    command = [sys.executable, "-c", READER, str(tmp_path / "broker")]
    readers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    for reader in readers:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "ready\n"
    with connected(tmp_path / "broker") as connection:
        queue = connection.SimpleQueue("work")
        for number in range(count):
            queue.put(number)
        for _ in readers:  # each stops at the one that it takes
            queue.put("end")
    outputs = [reader.communicate()[0].split() for reader in readers]
    assert all(reader.returncode == 0 for reader in readers)
    assert sorted(int(line) for output in outputs for line in output) == list(range(count))
