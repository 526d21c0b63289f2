"""The process that keeps one version of an ONNX model in memory and answers calls over gRPC.

`server` is the composition root, `service` has the gRPC methods, `data_plane` is the path of an
inference call, `runtime` is the only package that knows ONNX Runtime. Imports `model_store`,
`protos`, `telemetry` and `transport`, and runs without the gateway's dependencies.
"""
