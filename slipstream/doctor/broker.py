"""Checks of the broker, and of the workers of this machine."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.broker.broker import Broker, BrokerKind
from gateway.broker.heartbeat_file import read_heartbeats
from gateway.broker.probe import connection_error
from gateway.settings import Settings
from slipstream.doctor.finding import Finding, good, warning, wrong
from slipstream.supervisor.state_folder import running_supervisor
from slipstream.workspace import broker_of

_STALE_SECONDS = 30.0


def check_broker(settings: Settings) -> Iterator[Finding]:
    """Look at what carries runs to workers, and at who takes them here."""
    broker = broker_of(settings)
    if broker.kind is not BrokerKind.FOLDER or settings.state.exists():
        yield _connection(broker)
    else:
        yield good("broker", f"{broker.display_url}; the first start makes it")
    yield from _workers(settings)


def _connection(broker: Broker) -> Finding:
    reason = connection_error(broker)
    if reason is None:
        return good("broker", f"{broker.display_url} can be used")
    return wrong(
        "broker",
        f"{broker.display_url} cannot be used: {reason}",
        "see that it runs and can be reached, or mend SLIPSTREAM_BROKER_URL; meanwhile flows of "
        "type server run, and runs of type api wait",
    )


def _workers(settings: Settings) -> Iterator[Finding]:
    found = 0
    for heartbeat, age in read_heartbeats(settings.run):
        found += 1
        text = f"process {heartbeat.pid} has {heartbeat.busy} of {heartbeat.concurrency} runs"
        if age > _STALE_SECONDS:
            fix = "if it hangs, kill it: its runs are taken up again"
            yield warning("worker", f"{text}, and gave no sign for {age:.0f} s", fix)
        elif not heartbeat.ready:
            fix = "see what its log says"
            yield warning("worker", f"{text}, and takes none at the moment", fix)
        else:
            yield good("worker", f"{text}, and takes more")
    if not found and running_supervisor(settings.state):
        yield good("worker", "none runs here; it may be asleep, or on another machine")
