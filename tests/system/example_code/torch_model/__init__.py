"""A model as PyTorch exports it, with its weights in a file beside it."""
