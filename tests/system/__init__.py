"""The whole system as its users see it: real processes, real clients, over the network."""
