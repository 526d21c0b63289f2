"""The model store, with real child processes as verifiers."""
