"""The path of an inference call, from the bytes of its request to the bytes of its response.

`responders` takes the messages of one read from gRPC, `served_model` recognises or parses each
(`calls`, `inputs`), `executor` admits (`admission`), batches (`batching`) and runs them,
`responses` encodes the outputs, and the responder sends them. `busy_poll` decides when to wait for
more.
"""
