"""A dispatcher in a process of its own, on the loop that gateways have, until it is killed.

    python -m tests.torture.dispatcher_program LEASE_SECONDS POLL_SECONDS

Settings come from the environment, as always. It says `ready` when it begins.
"""

from __future__ import annotations

import uvloop

from tests.gateway.webhooks.dispatcher_program import main

if __name__ == "__main__":
    uvloop.run(main())
