"""What limits add to a fast call, in µs of the gateway's processor: `python -m benchmarks.limits`.

Finding the gate, passing it, and its two headers; with `--redis URL` counted there.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time

from gateway.limits.call_limits import CallLimits
from gateway.limits.request_limits import build_limits
from gateway.settings import Settings
from telemetry.instruments import Registry

CALLS, ROUNDS = 20_000, 9
PLENTY = 10**9
CASES = {
    "nothing limited": (None, None),
    "calls per minute of the key": (CallLimits(calls_per_minute=PLENTY), None),
    "calls per minute of key and deployment": (
        CallLimits(calls_per_minute=PLENTY),
        CallLimits(calls_per_minute=PLENTY),
    ),
    "per minute and day and at once, of both": (
        CallLimits(calls_per_minute=PLENTY, calls_per_day=PLENTY, concurrent_runs=PLENTY),
        CallLimits(calls_per_minute=PLENTY, calls_per_day=PLENTY, concurrent_runs=PLENTY),
    ),
}


async def main() -> None:
    """Measure each case, and print its median."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--redis", metavar="URL", help="count in this Redis")
    url = parser.parse_args().redis
    limits = build_limits(Settings(rate_limit_url=url), Registry())
    for name, (key, deployment) in CASES.items():
        took, waits = [], 0
        for _ in range(ROUNDS):
            began = time.process_time()
            for _ in range(CALLS):
                rate_limit = limits.rate_limiter.for_call("key", key, "deployment", deployment)
                if rate_limit is not None:
                    if not rate_limit.try_acquire():
                        waits += 1
                        await rate_limit.acquire()
                    rate_limit.header_lines()
                    rate_limit.release()
            took.append((time.process_time() - began) / CALLS * 1e6)
            await asyncio.sleep(0.05)  # for leases under way
        print(f"{name:42} {statistics.median(took):6.2f} µs a call, {waits} waited")
    await limits.close()


if __name__ == "__main__":
    asyncio.run(main())
