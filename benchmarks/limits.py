"""CPU time that limits add to a fast call, in µs: `python -m benchmarks.limits`.

Finding the rate limit, acquiring it, and its two headers; with `--redis URL` counted in Redis.
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
UNREACHED = 10**9
CASES = {
    "no limits": (None, None),
    "calls per minute of the key": (CallLimits(calls_per_minute=UNREACHED), None),
    "calls per minute of key and deployment": (
        CallLimits(calls_per_minute=UNREACHED),
        CallLimits(calls_per_minute=UNREACHED),
    ),
    "per minute, per day and concurrent, of both": (
        CallLimits(calls_per_minute=UNREACHED, calls_per_day=UNREACHED, concurrent_runs=UNREACHED),
        CallLimits(calls_per_minute=UNREACHED, calls_per_day=UNREACHED, concurrent_runs=UNREACHED),
    ),
}


async def main() -> None:
    """Measure each case; print the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--redis", metavar="URL", help="count in this Redis")
    url = parser.parse_args().redis
    limits = build_limits(Settings(rate_limit_url=url), Registry())
    for name, (key, deployment) in CASES.items():
        times, waits = [], 0
        for _ in range(ROUNDS):
            started = time.process_time()
            for _ in range(CALLS):
                rate_limit = limits.rate_limiter.for_call("key", key, "deployment", deployment)
                if rate_limit is not None:
                    if not rate_limit.try_acquire():
                        waits += 1
                        await rate_limit.acquire()
                    rate_limit.header_lines()
                    rate_limit.release()
            times.append((time.process_time() - started) / CALLS * 1e6)
            await asyncio.sleep(0.05)  # lets lease renewals finish
        print(f"{name:42} {statistics.median(times):6.2f} µs a call, {waits} waited")
    await limits.close()


if __name__ == "__main__":
    asyncio.run(main())
