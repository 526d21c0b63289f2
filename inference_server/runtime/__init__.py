"""Everything that touches ONNX Runtime: the session, its threads, and tensors in and out."""
