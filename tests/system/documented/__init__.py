"""The command lines of README and docs, executed as they are printed."""
