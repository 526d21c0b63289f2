"""Checks of the broker, and of the workers of this machine."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.broker.beacon import beacons
from gateway.broker.broker import Broker, Kind
from gateway.broker.probe import trouble
from gateway.settings import Settings
from slipstream.doctor.finding import Finding, good, warning, wrong
from slipstream.supervisor.state_folder import holder
from slipstream.workspace import broker_of

_OLD_SECONDS = 30.0


def check_broker(settings: Settings) -> Iterator[Finding]:
    """Look at what carries runs to workers, and at who takes them here."""
    broker = broker_of(settings)
    if broker.kind is not Kind.FOLDER or settings.state.exists():
        yield _reached(broker)
    else:
        yield good("broker", f"{broker.shown}; the first start makes it")
    yield from _workers(settings)


def _reached(broker: Broker) -> Finding:
    reason = trouble(broker)
    if reason is None:
        return good("broker", f"{broker.shown} can be used")
    return wrong(
        "broker",
        f"{broker.shown} cannot be used: {reason}",
        "see that it runs and can be reached, or mend SLIPSTREAM_BROKER_URL; meanwhile flows of "
        "type server run, and runs of type api wait",
    )


def _workers(settings: Settings) -> Iterator[Finding]:
    found = 0
    for beacon, age in beacons(settings.run):
        found += 1
        text = f"process {beacon.pid} has {beacon.busy} of {beacon.children} runs"
        if age > _OLD_SECONDS:
            mend = "if it hangs, kill it: its runs are taken up again"
            yield warning("worker", f"{text}, and gave no sign for {age:.0f} s", mend)
        elif not beacon.ready:
            mend = "see what its log says"
            yield warning("worker", f"{text}, and takes none at the moment", mend)
        else:
            yield good("worker", f"{text}, and takes more")
    if not found and holder(settings.state):
        yield good("worker", "none runs here; it may be asleep, or on another machine")
