"""Celery's part of a worker: it takes messages from the queues, in a thread of its own.

Everything of the protocol is Celery's: connections, reconnects, queues. Only what it does with a
message is replaced: the run ids in it go to the worker's event loop instead of a pool.
"""

from __future__ import annotations

import os
import socket
import threading
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import kombu
from celery import signals
from celery.concurrency.base import BasePool
from celery.worker import WorkController, state
from celery.worker.consumer import Consumer
from celery.worker.state import maybe_shutdown

from gateway.broker.broker import TASK, Broker, Queue
from gateway.broker.celery_app import build_app
from gateway.worker.slots import RunSlots
from telemetry.logs import logger, reason_of

_MIN_RETRY_SECONDS = 0.2
_RETRY_STEP_SECONDS = 0.2
_MAX_RETRY_SECONDS = 2.0
"""Celery's own maximum is 30, longer than callers wait for a sync run."""
_PREFETCH = 4
"""Messages of a queue that an AMQP broker may send before the first one is acknowledged. Few: no
other worker gets those that wait here for a slot."""

log = logger("gateway.worker.consumer")


class RunConsumer:
    """Takes run ids from the broker while there are free slots."""

    def __init__(
        self,
        broker: Broker,
        slots: RunSlots,
        *,
        begin: Callable[[str, Queue], object],
        on_ready: Callable[[], object],
        on_end: Callable[[], object],
    ) -> None:
        """Take nothing before `start`.

        Args:
            broker: has the queues.
            slots: says what can be taken; a slot is taken for each run.
            begin: called with each run id and its queue.
            on_ready: called when Celery takes messages: first, and after each reconnect.
            on_end: called when the thread ends.
        """
        self.broker = broker
        self.slots = slots
        self.queues = {queue.name_in(broker.prefix): queue for queue in slots.queues}
        """By the names that the broker knows."""
        self.begin = begin
        self.on_ready = on_ready
        self._on_end = on_end
        self._controller: WorkController | None = None
        self._thread = threading.Thread(target=self._run, name="consumer", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Take no more messages. The thread ends soon, unless it waits for a broker that hangs."""
        state.should_stop = os.EX_OK
        self.wake()

    def join(self, seconds: float) -> None:
        """Wait until the thread has ended, at most for so long; return at once if none began."""
        if self._thread.ident is not None:
            self._thread.join(seconds)

    def wake(self) -> None:
        """Have Celery look again for what it may take; from any thread."""
        hub = None if self._controller is None else self._controller.hub
        if hub is not None:  # otherwise it polls
            hub.call_soon(_nothing)

    def _run(self) -> None:
        try:
            self._controller = self._build()
            self.slots.on_free = self.wake
            self._controller.start()
        except Exception:
            log.exception("consumer_crashed")
        finally:
            self._on_end()

    def _build(self) -> WorkController:
        warnings.filterwarnings("ignore", message=".*superuser privileges")  # as in containers
        app = build_app(self.broker)
        app.set_default()
        if self.broker.delivers_on_demand:
            app.amqp.Consumer = partial(_ChannelPerQueue, self)
        signals.setup_logging.connect(_keep_logging, weak=False)
        return WorkController(
            app=app,
            hostname=f"worker-{os.getpid()}@{socket.gethostname()}",
            concurrency=_PREFETCH,
            queues=list(self.queues),
            pool_cls=_NoPool,
            consumer_cls=partial(_IdConsumer, self),
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
        )


class _NoPool(BasePool):  # type: ignore[misc]  # published without types
    """In the place of Celery's pool: nothing is executed by it."""


class _IdConsumer(Consumer):  # type: ignore[misc]  # the same
    """Retries a lost connection without limit, and hands over the run ids of messages."""

    # Any: Celery's own, and kombu's
    def __init__(self, owner: RunConsumer, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._owner = owner
        self._held: list[tuple[Any, Queue, str]] = []  # Any: kombu's Message
        """Messages for which there was no slot: an AMQP broker sends a few ahead of time."""

    def ensure_connected(self, conn: Any) -> Any:  # Any: kombu's Connection
        """Return the connection once it is established; raises WorkerShutdown on a shutdown."""
        logged = False

        def on_error(error: Exception, _pause: float) -> None:
            nonlocal logged
            if not logged:
                log.warning("broker_lost", reason=reason_of(error))
            logged = True

        conn = conn.ensure_connection(
            on_error,
            None,
            interval_start=_MIN_RETRY_SECONDS,
            interval_step=_RETRY_STEP_SECONDS,
            interval_max=_MAX_RETRY_SECONDS,
            callback=maybe_shutdown,
        )
        self.first_connection_attempt = False
        return conn

    def on_ready(self) -> None:
        """Celery takes messages now."""
        super().on_ready()
        self._owner.on_ready()

    def register_with_event_loop(self, hub: Any) -> None:  # Any: kombu's Hub
        """Do what Celery does, and look after messages that wait here."""
        super().register_with_event_loop(hub)
        self._held.clear()  # they belong to the connection before: the broker sends them again
        hub.on_tick.add(self._take_held)

    def create_task_handler(self) -> Callable[[Any], None]:  # Any: kombu's Message
        """Return what is called with each message."""
        return self._on_message

    def _on_message(self, message: Any) -> None:  # Any: the same
        queue = self._owner.queues.get(message.delivery_info["routing_key"])
        if queue is None or message.headers.get("task") != TASK:
            self.on_unknown_message(message.body, message)
            return
        try:
            (run_id,) = message.payload[0]
        except Exception as error:  # noqa: BLE001 - of kombu's decoders
            self.on_decode_error(message, error)
            return
        if self._owner.slots.closed:  # it was on its way
            message.requeue()
        elif self._owner.slots.free(queue):
            self._take(message, queue, run_id)
        else:
            self._held.append((message, queue, run_id))

    def _take(self, message: Any, queue: Queue, run_id: str) -> None:  # Any: the same
        message.ack()  # first: the row is the truth, and the sweep publishes what is lost
        self._owner.slots.take(queue)
        self._owner.begin(run_id, queue)

    def _take_held(self) -> None:
        held, self._held = self._held, []
        for message, queue, run_id in held:
            if self._owner.slots.free(queue):
                self._take(message, queue, run_id)
            else:
                self._held.append((message, queue, run_id))


class _ChannelPerQueue(kombu.Consumer):  # type: ignore[misc]  # the same
    """Takes from each queue by itself, where kombu emulates channels, while it has a free slot.

    On one channel, a queue that has a slot again would wait for the end of the other one's BRPOP.
    """

    def __init__(self, owner: RunConsumer, *arguments: Any, **options: Any) -> None:  # Any: kombu's
        self._owner = owner
        self._channels: list[Any] = []  # the same
        super().__init__(*arguments, **options)

    def revive(self, channel: Any) -> None:  # Any: the same
        """Open the channels."""
        super().revive(channel)  # declares the queues
        connection = self.channel.connection.client
        for name, queue in list(self._queues.items()):
            own = connection.channel()
            self._channels.append(own)
            self._queues[name] = queue.bind(own)
            own.qos.can_consume = partial(self._owner.slots.free, self._owner.queues[name])

    def cancel(self) -> None:
        """Take no more messages."""
        for queue in self._queues.values():
            tag = self._active_tags.pop(queue.name, None)
            if tag is not None:
                queue.channel.basic_cancel(tag)

    def close(self) -> None:
        """Take no more messages, and close the channels."""
        self.cancel()
        while self._channels:
            self._channels.pop().close()


def _nothing() -> None:
    """Something to call: afterwards, Celery's loop looks at everything."""


def _keep_logging(**_: Any) -> None:  # Any: what Celery's signals carry
    """Keep the logging of `telemetry.logs`: a connected receiver stops Celery from changing it."""
