"""Where replicas run, as the API shows it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import httpx

IRIS, PAIR = "iris", "pair"
REPLICAS = {IRIS: 3, PAIR: 2}
"""Of hosts. One more of `iris` has registered itself; `pair` has none to spare."""


@dataclass(frozen=True, slots=True)
class Replicas:
    """The replicas that are ready.

    Attributes:
        on_hosts: how many of a model run on the host with an address.
        registered: how many of a model have registered themselves.
    """

    on_hosts: Counter[tuple[str, str]] = field(default_factory=Counter)
    registered: Counter[str] = field(default_factory=Counter)

    def are_all_ready(self) -> bool:
        """Whether there are as many as there should be."""
        counts = Counter({model: self.of(model) for model in REPLICAS})
        return counts == Counter(REPLICAS) and self.registered == Counter({IRIS: 1})

    def are_spread(self) -> bool:
        """Whether no host has two of a model of which it could have one."""
        return max(self.on_hosts.values(), default=0) <= 1

    def of(self, model: str) -> int:
        """Return how many hosts run of a model."""
        return sum(count for (name, _), count in self.on_hosts.items() if name == model)

    def fullest(self) -> str:
        """Return the address of the host with the most of a model; of several, of all models."""
        totals: Counter[str] = Counter()
        for (_, address), count in self.on_hosts.items():
            totals[address] += count
        most = max(self.on_hosts.items(), key=lambda each: (each[1], totals[each[0][1]]))
        return most[0][1]


async def ready_replicas(http: httpx.AsyncClient, url: str) -> Replicas:
    """Ask a gateway.

    Raises:
        httpx.TransportError, ValueError, KeyError: it does not answer, or with an error.
    """
    found = Replicas()
    for server in (await http.get(f"{url}/node/inference-servers/")).json()["items"]:
        for process in server["processes"]:
            if process["state"] != "ready" or server["model"] not in REPLICAS:
                continue
            if process["is_registered"]:
                found.registered[server["model"]] += 1
            else:
                address = str(process["tcp_address"]).rpartition(":")[0]
                found.on_hosts[server["model"], address] += 1
    return found
