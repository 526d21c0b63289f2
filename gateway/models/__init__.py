"""Models over HTTP and for deployments. The only feature that uses the model store."""
