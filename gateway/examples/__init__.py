"""Example code: programs and commands that call a deployment, in several languages."""
