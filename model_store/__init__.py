"""Versioned ONNX models on disk: layout, manifest, publish, resolve, verify.

`store.ModelStore` is the entry point. It never loads a model: `verification.Verifier` starts a
child process for that, with a command that the caller passes in, so that a hostile file can crash
only the child.
"""
