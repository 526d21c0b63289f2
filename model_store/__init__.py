"""Versioned ONNX models on disk: layout, manifest, publish, resolve, verify.

`store.ModelStore` is the way in. It never loads a model: `verification.Verifier` has that done by a
child process whose command the caller passes in, so that a hostile file can crash only that child.
"""
