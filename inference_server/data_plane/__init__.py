"""The path of an inference call, from the bytes of its request to the bytes of its response.

`streams` (or `unary`) takes a message from gRPC, `served_model` recognises or parses it, `executor`
batches and runs it, `responses` encodes the result.
"""
