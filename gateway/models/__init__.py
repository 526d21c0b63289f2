"""Models over HTTP and for deployments: the one feature that knows the model store."""
