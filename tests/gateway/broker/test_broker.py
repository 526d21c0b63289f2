"""Broker URLs, and checks of brokers."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.broker.broker import Broker, BrokerError, BrokerKind, Queue, parse_broker_url
from gateway.broker.celery_app import build_app, connection_error, queue_depths
from tests.gateway.brokers import send

FOLDER = Path("/nowhere/broker")


def test_the_broker_is_a_folder_without_a_url() -> None:
    broker = parse_broker_url(None, folder=FOLDER, prefix="slipstream")
    assert (broker.kind, broker.folder) == (BrokerKind.FOLDER, FOLDER)
    assert broker.display_url == "the folder /nowhere/broker"


@pytest.mark.parametrize(
    ("url", "kind", "shown"),
    [
        ("redis://:secret@host:6379/3", BrokerKind.REDIS, "redis://host:6379/3"),
        ("rediss://host/0", BrokerKind.REDIS, "rediss://host/0"),
        ("amqp://user:secret@host:5672//", BrokerKind.AMQP, "amqp://host:5672//"),
        ("amqps://user:secret@host/vhost", BrokerKind.AMQP, "amqps://host/vhost"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, kind: BrokerKind, shown: str) -> None:
    broker = parse_broker_url(url, folder=FOLDER, prefix="slipstream")
    assert (broker.kind, broker.display_url) == (kind, shown)


@pytest.mark.parametrize(
    "url", ["", "secret", "http://:secret@host", "kafka://secret", "redis://host/0?secret=1"]
)
def test_an_unknown_url_is_refused_without_printing_it(url: str) -> None:
    with pytest.raises(BrokerError) as caught:
        parse_broker_url(url, folder=FOLDER, prefix="slipstream")
    assert "SLIPSTREAM_BROKER_URL" in str(caught.value)
    assert ":secret" not in str(caught.value)


@pytest.mark.parametrize("query", ["timeout=5", "visibility_timeout=5&timeout=5"])
def test_a_redis_url_has_no_parameters(query: str) -> None:
    with pytest.raises(BrokerError, match="expected no parameters"):
        parse_broker_url(f"redis://host/0?{query}", folder=FOLDER, prefix="x")


def test_the_visibility_timeout_of_older_versions_is_ignored() -> None:
    broker = parse_broker_url("redis://host/0?visibility_timeout=5", folder=FOLDER, prefix="x")
    assert broker.url == "redis://host/0"


def test_messages_are_acknowledged_before_their_run_and_results_are_not_stored() -> None:
    for url in (None, "redis://host/0", "amqp://host//"):
        conf = build_app(parse_broker_url(url, folder=FOLDER, prefix="mine")).conf
        assert conf.task_acks_late is False
        assert conf.task_ignore_result is True
        assert conf.result_backend is None
        assert conf.accept_content == ["json"]
        assert conf.worker_prefetch_multiplier == 1
        kept_at_redis = conf.broker_transport_options.get("ack_emulation")
        assert kept_at_redis is (False if url == "redis://host/0" else None)
        assert [queue.name for queue in conf.task_queues] == ["mine.sync", "mine.async"]


def test_each_queue_has_its_own_messages(broker: Broker) -> None:
    send(broker, Queue.SYNC, "a", "b")
    send(broker, Queue.ASYNC, "c")
    assert queue_depths(broker, tuple(Queue)) == {Queue.SYNC: 2, Queue.ASYNC: 1}
    assert connection_error(broker) is None


def test_an_unreachable_broker_has_a_connection_error(tmp_path: Path) -> None:
    away = parse_broker_url("redis://127.0.0.1:1/0", folder=tmp_path, prefix="x")
    assert connection_error(away)
    assert connection_error(parse_broker_url("amqp://127.0.0.1:1//", folder=tmp_path, prefix="x"))
