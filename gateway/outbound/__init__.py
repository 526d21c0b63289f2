"""HTTP to URLs that users choose, guarded against requests to internal addresses (SSRF).

`targets` parses URLs, `addresses` decides which IP addresses are allowed, `resolver` resolves names
to allowed addresses only, and `http` sends. Knows nothing of flows and webhooks, which use it.
"""
