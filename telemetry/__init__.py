"""What every process needs in order to be observed: log lines, instruments, latency buckets, and the
pipes on which it tells its parent how far it is.

Imports nothing of ours and knows no feature.
"""
