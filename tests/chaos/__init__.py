"""`make chaos`: load while processes and servers are killed at random, then consistency checks."""
