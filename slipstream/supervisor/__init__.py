"""The parent of all processes on one machine: starts, watches, restarts and drains them.

`policy` decides and does nothing else; `process` is one child; `keeper` acts on what the policy
decided; `gateways` and `fleet` say what to run; `nursery` gives the fleet its processes, forked off
a `fork_server`, or `houses` do where models share them; `supervisor` puts them together.
"""
