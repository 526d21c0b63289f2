"""One connection to the broker, for sending. Imports Celery: for the publisher's thread only."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from gateway.broker.broker import Broker
from gateway.broker.celery_app import build_app
from gateway.broker.queues import TASK, Queue


class RunSender:
    """Sends run ids, until something raises; then it is to be closed and made anew."""

    def __init__(self, broker: Broker) -> None:
        """Connect, and declare the queues; raise whatever the broker's library raises."""
        self._prefix = broker.prefix
        self._app = build_app(broker)
        # No heartbeat: nobody would look after it between two messages.
        self._connection = self._app.connection_for_write(heartbeat=0)
        try:
            self._connection.ensure_connection(max_retries=1, interval_start=0)
            self._producer = self._app.amqp.Producer(self._connection, auto_declare=False)
            for queue in self._app.conf.task_queues:
                queue(self._connection.default_channel).declare()
        except BaseException:
            self._connection.release()
            raise

    def send(self, run_id: str, queue: Queue) -> None:
        """Hand one id to the broker; when it returns, the broker has it."""
        self._app.send_task(
            TASK,
            args=(run_id,),
            queue=queue.name_in(self._prefix),
            producer=self._producer,
            ignore_result=True,
            retry=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.release()
