"""The response body of `/node/system/`."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict

from gateway.fleet.service_process import ProcessKind
from gateway.system.problems import SystemProblem, problems_of
from gateway.system.state import (
    BrokerState,
    DatabaseState,
    HostState,
    ProcessState,
    QueueState,
    ServersState,
    StoreState,
    SystemState,
)


class SystemOut(BaseModel):
    """The state of the installation."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    problems: list[SystemProblem]
    """What is wrong, each with what to do about it. Empty: nothing is."""
    hosts: list[HostState]
    """The machines that run inference servers, the oldest first."""
    gateways: list[ProcessState]
    """The gateways, by machine and name."""
    workers: list[ProcessState]
    """The workers, by machine and name."""
    busy: dict[str, int]
    """How many runs the workers of each machine execute, by its name; those of `slots`."""
    queues: list[QueueState]
    """Runs that wait, by what executes them."""
    database: DatabaseState
    """How the database is, for the gateway that answers."""
    broker: BrokerState
    """How the broker is, for the gateway that answers."""
    store: StoreState
    """How full the model store is."""
    servers: ServersState
    """How the inference servers are."""

    @classmethod
    def of(cls, system: SystemState) -> Self:
        """Return the response body."""
        return cls(
            problems=list(problems_of(system)),
            hosts=list(system.hosts),
            gateways=[it for it in system.processes if it.kind is ProcessKind.GATEWAY],
            workers=[it for it in system.processes if it.kind is ProcessKind.WORKER],
            busy=dict(system.busy),
            queues=list(system.queues),
            database=system.database,
            broker=system.broker,
            store=system.store,
            servers=system.servers,
        )
