"""Celery at the broker: the application, a connection that sends, and checks of the queues.

Celery carries run ids only. A message is acknowledged before its run begins, so no broker delivers
it twice; a run that is lost with a worker is found by its lease in the database, in the same way
for every broker. There is no result backend: the row is the result.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any, Self

from celery import Celery
from kombu import Exchange
from kombu import Queue as BrokerQueue

from gateway.broker.broker import TASK, Broker, BrokerKind, Queue
from telemetry.logs import reason_of

_FOLDER_TRANSPORT = "gateway.broker.folder_transport:Transport"
_CONNECT_SECONDS = 4
_AMQP_HEARTBEAT_SECONDS = 10


def build_app(broker: Broker) -> Celery:
    """Return the application; it connects when it is first used."""
    app = Celery("slipstream", set_as_current=False, fixups=[])
    app.conf.update(
        broker_url=broker.url or "slipstream-folder://localhost",
        broker_transport_options=_transport_options(broker),
        broker_connection_timeout=_CONNECT_SECONDS,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_channel_error_retry=True,  # RabbitMQ closes one that acknowledges nothing for long
        broker_heartbeat=_AMQP_HEARTBEAT_SECONDS,
        broker_pool_limit=1,
        task_queues=[_queue(queue.name_in(broker.prefix)) for queue in Queue],
        task_default_queue=Queue.ASYNC.name_in(broker.prefix),
        task_create_missing_queues=False,
        task_serializer="json",
        accept_content=["json"],
        task_acks_late=False,
        task_ignore_result=True,
        result_backend=None,
        worker_prefetch_multiplier=1,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_detect_quorum_queues=False,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
    )
    if broker.kind is BrokerKind.FOLDER:
        app.conf.broker_transport = _FOLDER_TRANSPORT
    return app


def _queue(name: str) -> BrokerQueue:
    return BrokerQueue(name, Exchange(name, type="direct"), routing_key=name)


def _transport_options(broker: Broker) -> dict[str, Any]:
    """Return what kombu's transport takes. Any: each option has a type of its own."""
    match broker.kind:
        case BrokerKind.FOLDER:
            return {"folder": str(broker.folder)}
        case BrokerKind.AMQP:
            return {"confirm_publish": True}
        case BrokerKind.REDIS:
            return {
                "socket_keepalive": True,
                "socket_connect_timeout": _CONNECT_SECONDS,
                # Otherwise kombu keeps a copy of each message at Redis until it is acknowledged,
                # a transaction before and one after, to deliver it again an hour later.
                "ack_emulation": False,
            }


class RunSender:
    """One connection that sends run ids. After an exception it must be closed and replaced."""

    def __init__(self, broker: Broker) -> None:
        """Connect and declare the queues; raises exceptions of the broker's library."""
        self._prefix = broker.prefix
        self._app = build_app(broker)
        self._headers, _, (_, self._kwargs, self._embedded), _ = self._app.amqp.as_task_v2(
            "", TASK, ignore_result=True
        )
        # No heartbeat: nothing would serve it between two messages.
        self._connection = self._app.connection_for_write(heartbeat=0)
        try:
            self._connection.ensure_connection(max_retries=1, interval_start=0)
            self._producer = self._app.amqp.Producer(self._connection, auto_declare=False)
            for queue in self._app.conf.task_queues:
                queue(self._connection.default_channel).declare()
        except BaseException:
            self._connection.release()
            raise

    def send(self, runs: Iterable[tuple[str, Queue]]) -> None:
        """Send ids; when this returns, the broker has them.

        If it raises, the broker may have some of them. Redis gets all of them at once.
        """
        with self._producer.batch():
            for run_id, queue in runs:
                self._publish(run_id, queue)

    def _publish(self, run_id: str, queue: Queue) -> None:
        """Publish one message of Celery's protocol 2, as `Celery.send_task` does.

        That would make all of the headers again for each message, and two random ids beside the
        run's, which take three times as long.
        https://docs.celeryq.dev/en/stable/internals/protocol.html
        """
        self._producer.publish(
            ((run_id,), self._kwargs, self._embedded),
            routing_key=queue.name_in(self._prefix),
            serializer="json",
            headers={
                **self._headers,
                "id": run_id,
                "root_id": run_id,
                "argsrepr": f"('{run_id}',)",
            },
            correlation_id=run_id,
            reply_to="",
        )

    def depths(self) -> dict[Queue, int]:
        """Return how many messages wait in each queue."""
        return _depths(self._connection.default_channel, self._prefix, tuple(Queue))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.release()


def queue_depths(broker: Broker, queues: Sequence[Queue]) -> dict[Queue, int]:
    """Return how many messages wait in each queue; raises exceptions of the broker's library."""
    app = build_app(broker)
    with app.connection_for_read(heartbeat=0) as connection:
        connection.ensure_connection(max_retries=1, interval_start=0)
        return _depths(connection.default_channel, broker.prefix, queues)


# Any: each transport has a channel of its own
def _depths(channel: Any, prefix: str, queues: Sequence[Queue]) -> dict[Queue, int]:
    found: dict[Queue, int] = {}
    for queue in queues:
        declared = channel.queue_declare(
            queue=queue.name_in(prefix),
            durable=True,
            exclusive=False,
            auto_delete=False,
            nowait=False,
        )
        found[queue] = int(declared.message_count)
    return found


def connection_error(broker: Broker) -> str | None:
    """Return why the broker cannot be used, or None."""
    try:
        queue_depths(broker, tuple(Queue))
    except Exception as error:  # noqa: BLE001 - each broker's library has exceptions of its own
        return reason_of(error)
    return None
