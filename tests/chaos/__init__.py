"""`make chaos`: load while everything is killed at random, and an account of what that cost."""
