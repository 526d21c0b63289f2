"""The Celery application of a broker: what is sent and how, the same for both ends.

Celery carries run ids and nothing else. A message is acknowledged before its run begins, so that no
broker ever delivers it a second time; what is lost with a worker is found again by the run's lease
in the database, in the same way for every broker. No result backend either: the row is the result.
"""

from __future__ import annotations

from typing import Any

from celery import Celery
from kombu import Exchange
from kombu import Queue as BrokerQueue

from gateway.broker.broker import Broker, BrokerKind
from gateway.broker.queues import Queue

_FOLDER_TRANSPORT = "gateway.broker.folder_transport:Transport"
_TASKS_PER_CHILD = 10_000
"""Bounds what a leak can do. The child that is replaced opens its database again, so not often."""
_CONNECT_SECONDS = 4
_AMQP_HEARTBEAT_SECONDS = 10
_CHILD_BOOT_SECONDS = 30.0
_LOST_CHILD_SECONDS = 0.5
"""How long a killed child counts as busy, since its last word may still come."""


def build_app(broker: Broker) -> Celery:
    """Return the application. It connects to nothing before it is used."""
    app = Celery("slipstream", set_as_current=False, fixups=[])
    app.conf.update(
        broker_url=broker.url or "slipstream-folder://localhost",
        broker_transport_options=_transport_options(broker),
        broker_connection_timeout=_CONNECT_SECONDS,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
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
        worker_disable_prefetch=broker.kind is BrokerKind.REDIS,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_max_tasks_per_child=_TASKS_PER_CHILD,
        worker_proc_alive_timeout=_CHILD_BOOT_SECONDS,
        worker_lost_wait=_LOST_CHILD_SECONDS,
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
            options: dict[str, Any] = {
                "socket_keepalive": True,
                "socket_connect_timeout": _CONNECT_SECONDS,
            }
            if broker.visibility_timeout is not None:
                options["visibility_timeout"] = broker.visibility_timeout
            return options
