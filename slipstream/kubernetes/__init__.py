"""What `slipstream k8s` renders for Kubernetes."""
