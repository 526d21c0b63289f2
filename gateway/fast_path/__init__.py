"""One call of a deployment, from the HTTP socket to the inference server and back."""
