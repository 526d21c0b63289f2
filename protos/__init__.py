"""The contract between the processes: messages, tensor codec, error codes.

Everything that the gateway, the inference server and their clients must agree on, and nothing else.
Imports nothing of ours. Also pleasant beside tritonclient: nothing is registered in protobuf's
default descriptor pool.
"""
