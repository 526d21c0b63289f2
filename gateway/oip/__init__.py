"""The Open Inference Protocol at the gateway: `/v2` over REST, and the gRPC front door."""
