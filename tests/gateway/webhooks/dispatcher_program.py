"""A dispatcher process to be killed: `python -m … LEASE_SECONDS [POLL_SECONDS]`.

Settings come from the environment. It prints `ready`, then runs until it is killed.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace

from gateway.auth.pepper import load_pepper
from gateway.settings import Settings
from gateway.storage.database import Database
from gateway.webhooks.dispatcher import DispatcherOptions, build_dispatcher
from gateway.webhooks.secret_box import SecretBox


async def main() -> None:
    """Deliver events until killed."""
    settings = Settings()
    lease, *poll = (float(argument) for argument in sys.argv[1:])
    options = replace(DispatcherOptions.of(settings), lease_seconds=lease)
    if poll:
        options = replace(options, poll_seconds=poll[0])
    secret_box = SecretBox(load_pepper(settings.key_pepper, settings.state))
    webhook_dispatcher = build_dispatcher(
        settings, Database(settings.database), secret_box, options=options
    )
    webhook_dispatcher.start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
