"""A dispatcher process on the event loop of the gateway, until it is killed.

    python -m tests.torture.dispatcher_program LEASE_SECONDS POLL_SECONDS

Settings come from the environment. It prints `ready` when it starts.
"""

from __future__ import annotations

import uvloop

from tests.gateway.webhooks.dispatcher_program import main

if __name__ == "__main__":
    uvloop.run(main())
