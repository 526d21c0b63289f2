"""The process that keeps one version of an ONNX model in memory and answers calls over gRPC.

`server` puts it together; `dataplane` is what a call means; `servicer` and `stream` translate that
to gRPC; only `runtime` knows ONNX Runtime. Imports `model_store`, `protos` and `telemetry`, and
runs without the gateway's dependencies.
"""
