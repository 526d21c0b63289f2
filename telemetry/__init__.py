"""What every process needs in order to be observed: log lines, instruments, latency buckets.

Imports nothing of ours and knows no feature.
"""
