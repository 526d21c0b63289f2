"""The contract between the processes: messages, tensor codec, error codes.

Only what the gateway, the inference server and their clients must agree on. Imports none of our
other packages. Can be imported next to tritonclient: nothing is registered in protobuf's default
descriptor pool (docs/adr/0001-private-descriptor-pool.md).
"""
