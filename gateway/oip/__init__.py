"""The Open Inference Protocol: `/v2` over REST, and the public gRPC port."""
