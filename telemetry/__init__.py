"""What every process needs in order to be observed: logs, instruments, latency buckets, its parent.

Imports nothing of ours and knows no feature.
"""
