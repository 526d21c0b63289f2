"""HTTP to the world outside, on behalf of users: never to where only this machine should reach.

`targets` reads URLs, `addresses` judges IP addresses, `dialer` connects to what was judged and to
nothing else, by a `line`; `connections` keeps those for a while, `http` sends. Knows nothing of
flows and webhooks, which use it.
"""
